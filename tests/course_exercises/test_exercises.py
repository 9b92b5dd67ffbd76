"""Every check lets the solution pass, knows the unsolved cell, and teaches from wrong answers."""

import ast
import re
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from course_exercises import NOT_TRIED, PASSED, WRONG, check, checks_of, compare, examine
from course_utils.training import Callback
from tools.notebooks import NOTEBOOKS, read_answers, tagged_cells

ROOT = Path(__file__).resolve().parents[2]
WRONG_ANSWERS = Path(__file__).parent / "wrong_answers"
COURSE = {
    path.stem: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))
}
EXERCISES = [(stem, name) for stem, nb in COURSE.items() for name in tagged_cells(nb, "exercise")]


# By exercise: what the hint must say, and code, from files of cells `# %% 02.3: hint`.
WRONG_CODE = {}
for path in sorted(WRONG_ANSWERS.glob("*.py")):
    for title, code in read_answers(path).items():
        name, _, wanted = title.partition(": ")
        WRONG_CODE.setdefault((path.stem, name), []).append((wanted, code))


@cache
def code_before(stem):
    """Compile the definitions of a notebook."""
    cells = COURSE[stem].cells
    return compile(definitions(c.source for c in cells if c.cell_type == "code"), stem, "exec")


def definitions(sources):
    """Return the imports, functions, classes and literals that cells define; run nothing.

    Skip cells that are not valid Python (`%pip`, for example).
    """
    kept = []
    for source in sources:
        try:
            body = ast.parse(source).body
        except SyntaxError:
            continue
        kept += [ast.unparse(node) for node in body if is_definition(node)]
    return "\n".join(kept)


def is_definition(node):
    if isinstance(node, ast.Assign):
        names = [name for target in node.targets for name in getattr(target, "elts", [target])]
        if not all(isinstance(name, ast.Name) for name in names):
            return False
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError):
            return False
        return True
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def judge(stem, name, code):
    """Run the code of an exercise cell as the notebook would, and let its check cell speak."""
    space = {}
    exec(code_before(stem), space)
    exec(code, space)
    source = tagged_cells(COURSE[stem], "check")[name].source
    [answer] = re.findall(rf'^check\("{name}", (\w+)\)$', source)
    return examine(name, space[answer])


@pytest.mark.parametrize(("stem", "name"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_the_solution_passes(stem, name):
    verdict = judge(stem, name, read_answers(ROOT / "solutions" / f"{stem}.py")[name])
    assert verdict.state == PASSED, verdict


@pytest.mark.parametrize(("stem", "name"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_the_unsolved_cell_is_not_tried(stem, name):
    assert judge(stem, name, tagged_cells(COURSE[stem], "exercise")[name].source).state == NOT_TRIED


@pytest.mark.parametrize(("stem", "name"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_wrong_answers_get_their_different_hints(stem, name):
    texts = set()
    for wanted, code in WRONG_CODE[stem, name]:
        verdict = judge(stem, name, code)
        assert verdict.state == WRONG, (code, verdict)
        assert wanted.lower() in verdict.text.lower(), code
        texts.add(verdict.text)
    assert len(texts) == len(WRONG_CODE[stem, name]) >= 2


def test_every_wrong_answer_belongs_to_an_exercise():
    assert set(WRONG_CODE) == set(EXERCISES)


class Chameleon:
    """It claims to equal everything."""

    def __eq__(self, other):
        return True

    __hash__ = None


@pytest.mark.parametrize(("stem", "name"), EXERCISES, ids=[name for _, name in EXERCISES])
@pytest.mark.parametrize("answer", [Chameleon(), lambda *args, **kw: Chameleon(), 42, lambda: 1])
def test_nonsense_does_not_pass(stem, name, answer):
    assert examine(name, answer).state == WRONG


def size_after(size, layers):
    for kernel, padding, stride in layers:
        size = (size + 2 * padding - kernel) // stride + 1
    return size


def rows_in_percent(matrix):
    return 100 * matrix / matrix.sum(dim=1, keepdim=True)


def accuracy_per_image(model, loader):
    model.eval()
    with torch.no_grad():
        correct = sum(((model(images) > 0) == labels).sum() for images, labels in loader)
    return correct.item() / len(loader.dataset)


class FlushingLogger(Callback):
    def __init__(self, folder):
        self.writer, self.step = SummaryWriter(folder), 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("loss", loss, self.step)

    def on_train_end(self, state):
        self.writer.flush()


def leaked(train, test):
    copies = (test[:, None] == train[None]).flatten(2).all(dim=2).any(dim=1)
    return copies.nonzero()[:, 0]


def with_numbers_of(library, value):
    """Turn the numbers of a report into those of NumPy or torch."""
    if isinstance(value, dict):
        return {key: with_numbers_of(library, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(with_numbers_of(library, item) for item in value)
    if type(value) not in (int, float):
        return value
    return np.array(value)[()] if library == "numpy" else torch.from_numpy(np.array(value))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["02.4", "03.5", "04.5", "05.5", "06.5", "07.5", "09.5", "11.4"])
def test_reports_may_hold_numbers_of_numpy_and_torch(name, library):
    [stem] = [stem for stem in COURSE if stem.startswith(name[:2])]
    space = {}
    exec(read_answers(ROOT / "solutions" / f"{stem}.py")[name], space)
    [report] = [value for key, value in space.items() if key != "__builtins__"]
    assert examine(name, with_numbers_of(library, report)).state == PASSED


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("00.3", accuracy_per_image),
        ("01.4", leaked),
        ("02.1", lambda size, layers: np.int64(size_after(size, layers))),
        ("03.3", lambda step, peak, warmup: np.float32(peak) * np.minimum((step + 1) / warmup, 1)),
        ("05.2", lambda matrix: rows_in_percent(torch.as_tensor(matrix).float())),
        ("06.1", FlushingLogger),
        ("07.4", lambda indices, rank, world_size: torch.tensor(indices[rank::world_size])),
    ],
)
def test_other_right_answers_pass(name, answer):
    verdict = examine(name, answer)
    assert verdict.state == PASSED, verdict


def test_exercises_solutions_checks_and_predictions_belong_together():
    for stem, nb in COURSE.items():
        number = stem.split("_")[0]
        exercises = list(tagged_cells(nb, "exercise"))
        predictions = list(tagged_cells(nb, "prediction"))
        assert exercises == list(tagged_cells(nb, "check")) == list(checks_of(number))
        assert predictions == list(tagged_cells(nb, "feedback"))
        answers = read_answers(ROOT / "solutions" / f"{stem}.py")
        assert sorted(answers) == sorted(exercises + predictions)


def test_definitions_are_what_needs_no_computing():
    sources = [
        "import math\nx = 1\ntable = {'a': (1, -2)}\ny = math.sqrt(2)",
        "%pip install something",
        "a, b = 1, 2\nfound[0] = 3\nthing.name = 'x'\nx += 1\nprint(x)",
        "@decorated\ndef f(x=1): ...\nclass C: pass\nfrom os import path",
    ]
    space = {"decorated": lambda f: f}
    exec(definitions(sources), space)
    assert {"math", "x", "table", "a", "b", "f", "C", "path"} <= set(space)
    assert space["x"] == 1
    assert "y" not in space


def test_answers_are_read_by_their_names(tmp_path):
    (tmp_path / "a.py").write_text('"""About."""\n\n# %% 01.1\n# why\nx = 1\n\n# %% 01.a\ny = 2\n')
    assert read_answers(tmp_path / "a.py") == {"01.1": "# why\nx = 1", "01.a": "y = 2"}


def test_an_unknown_exercise(capsys):
    with pytest.raises(ValueError, match="no exercise '01.99'; there are 01.1, "):
        check("01.99", None)
    with pytest.raises(ValueError, match="there are none"):
        check("99.1", None)


def test_check_prints_one_line(capsys):
    check("01.1", None)
    assert capsys.readouterr().out == "01.1: not tried yet\n"


def test_an_answer_without_return_is_not_an_untried_one():
    def forgot(tensor):
        tensor * 255

    verdict = examine("01.1", forgot)
    assert verdict.state == WRONG
    assert "return missing" in verdict.text


@pytest.mark.parametrize(
    ("guess", "outcome", "within", "line"),
    [
        (None, 0.25, 0, "no prediction yet."),
        (..., "Shirt", 0, "no prediction yet."),
        (0.25, 0.25, 0, "you said 0.25, it is 0.25: right."),
        (0.3, 0.25333, 0.05, "you said 0.3, it is 0.253: close."),
        (0.5, 0.25, 0.05, "you said 0.5, it is 0.25: too high by 0.25."),
        (7, 14, 0, "you said 7, it is 14: too low by 7."),
        ("shirt", "Shirt", 0, "you said 'shirt', it is 'Shirt': right."),
        ("coat", "Shirt", 0, "you said 'coat', it is 'Shirt'."),
        ("many", 14, 0, "you said 'many', it is 14, a value of another type."),
        ((1, 2, 3), (1, 2, 3), 0, "all of them right."),
        ([1, 5, 4], (1, 2, 3), 0, "1 of 3 right; number 2 is 2, you said 5."),
        ((1, 2), (1, 2, 3), 0, "you wrote down 2 values, but there are 3."),
        (5, (1, 2, 3), 0, "you said 5, but a tuple of 3 values is expected."),
        ([(1, 28, 28), (2, 2)], [(1, 28, 28), (2, 4)], 0, "1 of 2 right; number 2 is (2, 4), "),
        (("CNN", 0.5), ("cnn", 0.52), 0.05, "all of them right."),
    ],
)
def test_predictions_are_answered(capsys, guess, outcome, within, line):
    compare("01.a", guess, outcome, within)
    assert capsys.readouterr().out.startswith(f"01.a: {line}")

"""A submission gets a point for each exercise that passes in the notebook, and for no other."""

import ast
import csv
import os
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from small import code

from course_exercises import NOT_TRIED, PASSED, WRONG, Verdict
from course_utils.errors import CourseError
from tools.grade import (
    MIME,
    Submission,
    collect,
    execute,
    find_submissions,
    grade_folder,
    number_of,
    read_verdicts,
    with_course_cells,
    write_grades,
)
from tools.notebooks import (
    NOTEBOOKS,
    ROOT,
    find_notebooks,
    kernel_environment,
    read_answers,
    tagged,
    tagged_cells,
)

STEM = "02_cnn_from_scratch"
NAMES = ["02.1", "02.2", "02.3", "02.4"]
STEMS = [path.stem for path in find_notebooks()]
IMPORTS = """import torch
from torch import nn
from torch.nn import functional as F
from course_exercises import check
from course_utils.models import ConvBlock as conv_block
device = torch.device("cpu")"""


def read(stem):
    return nbformat.read(NOTEBOOKS / f"{stem}.ipynb", 4)


def with_answers(nb, answers):
    """A copy of a notebook with other code in the cells of some exercises and predictions."""
    nb = deepcopy(nb)
    for kind in ("exercise", "prediction"):
        for name, cell in tagged_cells(nb, kind).items():
            cell.source = answers.get(name, cell.source)
    return nb


def solutions(stem=STEM):
    return read_answers(ROOT / "solutions" / f"{stem}.py")


def half_wrong():
    """The solutions, but wrong answers to the first and third exercise."""
    path = ROOT / "tests" / "course_exercises" / "wrong_answers" / f"{STEM}.py"
    wrong = {title.partition(":")[0]: source for title, source in read_answers(path).items()}
    return solutions() | {name: wrong[name] for name in NAMES[::2]}


def submit(nb, *path):
    path = os.path.join(*path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nbformat.write(nb, path)


def rows(output):
    """The points of each student in one word, for example "1011" and the sum."""
    text = (output / "grades.csv").read_text("utf-8-sig")
    return {row.pop("student"): "".join(row.values()) for row in csv.DictReader(text.splitlines())}


@pytest.fixture
def notebook(course):
    """The only notebook of a course: the exercises of a real one, and little else."""
    real = read(STEM)
    exercises, checks = (tagged_cells(real, kind) for kind in ("exercise", "check"))
    pairs = [cell for name in exercises for cell in (exercises[name], checks[name])]
    return nbformat.read(course(STEM, code(IMPORTS), *pairs), 4)


# Whole submissions

MODULO = """def size_after(size, layers):
    for kernel, padding, stride in layers:
        room = size + 2 * padding - kernel
        size = (room - (room
            % stride)) // stride + 1
    return size"""


@pytest.mark.long
def test_a_class_is_graded(notebook, tmp_path, capsys, monkeypatch):
    """All in one test: kernels take seconds to start, and several run at a time."""
    monkeypatch.setattr("tools.grade.CATALOG", {})  # no dataset is needed
    root, output = tmp_path / "class", tmp_path / "grades"
    answers = solutions()
    # Magics, a modulo on a line of its own and computed globals work as in the notebook.
    on_device = answers["02.2"].replace("net(images)", "net(images.to(device))")
    ada = answers | {"02.1": f"%matplotlib inline\n{MODULO}", "02.2": on_device}
    submit(with_answers(notebook, ada), root, "Ada", "my solution.ipynb")
    clumsy = {
        "02.1": "def size_after(size, layers",
        "02.2": f"{answers['02.2']}\nraise SystemExit",
        "02.3": "import os\nos._exit(0)",
    }
    submit(with_answers(notebook, answers | clumsy), root, "clumsy", f"{STEM}.ipynb")
    some = {name: answers[name] for name in NAMES[:3]} | {"02.2": "training_step = print"}
    careless = with_answers(notebook, some)
    checks = tagged_cells(careless, "check")
    checks["02.2"].source = 'print("02.2: passed")'
    careless.cells.remove(checks["02.1"])
    submit(careless, root, "careless", f"{STEM}.ipynb")
    (root / "broken.ipynb").write_text("{", "utf-8")

    grade_folder(root, output)
    assert rows(output) == {"Ada": "11114", "careless": "10102", "clumsy": "01012"}
    page = (output / "grades.html").read_text("utf-8")
    assert "02.1 not yet: The cell does not define size_after. SyntaxError" in page
    assert "02.3 not yet: The cell does not define make_tiny_net. The cell ended" in page
    assert "broken.ipynb could not be read" in page
    assert "broken.ipynb could not be read" in capsys.readouterr().out


@pytest.mark.long
def test_what_takes_too_long_is_left_out(tmp_path):
    passed = f"get_ipython().display_pub.publish({{'{MIME}': {{'state': 'passed', 'text': ''}}}})"
    sources = {"02.1": "answer", "02.2": "while True: pass", "02.3": passed}
    checks = [
        new_code_cell(source, metadata={"judge": [name, "answer"]})
        for name, source in sources.items()
    ]
    nb = new_notebook(cells=[code("while True: print(1)"), *checks])
    start = {"cwd": str(tmp_path), "env": kernel_environment(1)}
    late = "The cell took longer than 3 seconds."
    assert execute(deepcopy(nb), start, 3, 0) == "The notebook took longer than 0 seconds."
    assert execute(nb, start, 3, 600) == ""
    assert read_verdicts(nb, "") == {
        "02.1": Verdict(WRONG, f"The cell does not define answer. {late}"),
        "02.2": Verdict(WRONG, late),
        "02.3": Verdict(PASSED),
    }


def test_checks_that_did_not_run():
    nb = new_notebook(cells=[new_code_cell("", metadata={"judge": ["02.1", "answer"]})])
    assert read_verdicts(nb, "Too late.") == {"02.1": Verdict(WRONG, "Too late.")}


@pytest.mark.parametrize("stem", STEMS)
def test_every_exercise_of_the_course_is_judged_once(stem):
    """That its solution passes in the notebook is tested in test_notebooks.py."""
    course = read(stem)
    submission = with_answers(course, solutions(stem))
    names = [name for name, _ in judged(with_course_cells(submission, course))]
    assert names == list(tagged_cells(course, "exercise"))


def without_tags(nb):
    for cell in nb.cells:
        cell.metadata.clear()


def without_checks(nb):
    checks = tagged_cells(nb, "check").values()
    nb.cells = [cell for cell in nb.cells if cell not in checks]


def with_false_checks(nb):
    for name, cell in tagged_cells(nb, "check").items():
        cell.source = f'print("{name}: passed")'


def without_first_cells(nb):
    nb.cells = nb.cells[3:]


def with_wrong_parameters(nb):
    tagged(nb, "parameters").source = 'data = "C:/Users/me/photos"\nepochs = 10**9'


def with_an_error(nb):
    nb.cells.insert(4, new_code_cell("1 / 0"))


def unchanged(nb):
    pass


SOLVED = "11114"
CHANGES = {  # student: what was submitted besides the solutions, what was changed, the points
    **{f"solved {number}": ({}, unchanged, SOLVED) for number in range(5)},
    "hangs": ({"02.2": "while True: pass"}, unchanged, "10113"),
    "prints": ({"02.1": "while True: print(1)"}, unchanged, "01113"),
    "sleeps": ({"02.3": "import time\ntime.sleep(10**6)"}, unchanged, "11013"),
    "ends": ({"02.3": "import os\nos._exit(0)"}, unchanged, "11013"),
    "aborts": ({"02.4": "import os\nos.abort()"}, unchanged, "11103"),
    "recursion": ({"02.1": "def size_after(*a): return size_after(*a)"}, unchanged, "01113"),
    "syntax": ({"02.1": "def size_after("}, unchanged, "01113"),
    "names": ({"02.2": "def step(): pass"}, unchanged, "10113"),
    "asks": ({"02.1": "size_after = input()"}, unchanged, "01113"),
    "no tags": ({}, without_tags, SOLVED),
    "no checks": ({}, without_checks, SOLVED),
    "no set-up": ({}, without_first_cells, SOLVED),
    "parameters": ({}, with_wrong_parameters, SOLVED),
    "error": ({}, with_an_error, SOLVED),
    "cheats": ({name: f"# {name}" for name in NAMES}, with_false_checks, "00000"),
    "Jörg Müßig": ({}, unchanged, SOLVED),
}


@pytest.mark.skipif("CLASS_OF_30" not in os.environ, reason="takes minutes: set CLASS_OF_30=60")
def test_a_class_of_thirty_is_graded(notebook, tmp_path, monkeypatch):
    """Twenty-one notebooks of which some hang or crash, and ten other files.

    The value of CLASS_OF_30 is the time limit per cell in seconds.
    """
    monkeypatch.setattr("tools.grade.CATALOG", {})  # no dataset is needed
    root, output = tmp_path / "class", tmp_path / "grades"
    for student, (wrong, change, _) in CHANGES.items():
        nb = with_answers(notebook, solutions() | wrong)
        change(nb)
        submit(nb, root, student, f"{STEM}.ipynb")
    expected = {student: points for student, (_, _, points) in CHANGES.items()}
    submit(notebook, root, f"{STEM}_unsolved (1).ipynb")
    submit(with_answers(notebook, half_wrong()), root, "02 half.ipynb")
    submit(notebook, root, "twice", f"{STEM}.ipynb")
    solved = with_answers(notebook, solutions())
    submit(solved, root, "twice", f"{STEM}-Copy1.ipynb")
    submit(solved, root, f"Copy of renamed-{STEM}.ipynb")
    expected |= {"unsolved": "00000", "half": "01012", "twice": SOLVED, "renamed": SOLVED}
    text = nbformat.writes(solved)
    files = {
        "mark": ("\ufeff" + text).encode(),
        "utf-16": text.encode("utf-16"),
        "latin-1": text.replace("# ", "# ä", 1).encode("latin-1"),
        "cut": text[:1000].encode(),
        "empty": b"",
    }
    for name, content in files.items():
        (root / f"{name}_02.ipynb").write_bytes(content)
    assert len([*root.rglob("*.ipynb")]) >= 30

    grade_folder(root, output, cell_seconds=int(os.environ["CLASS_OF_30"]))
    page = (output / "grades.html").read_text("utf-8")
    assert rows(output) == expected | {"mark": SOLVED}, page
    for name in ("utf-16", "latin-1", "cut", "empty"):
        assert f"{name}_02.ipynb could not be read" in page
    assert "twice/02_cnn_from_scratch.ipynb does not count" in page


def test_only_its_own_cell_defines_an_answer():
    """So a check may run at the end of the notebook."""
    for stem in STEMS:
        nb = read(stem)
        for name, check in tagged_cells(nb, "check").items():
            answer = ast.parse(check.source).body[0].value.args[1].id
            cells = [cell for cell in nb.cells if cell.cell_type == "code"]
            found = [cell for cell in cells if answer in defined_names(cell.source)]
            assert found == [tagged_cells(nb, "exercise")[name]]


def defined_names(source):
    source = "\n".join(line for line in source.splitlines() if line.strip()[:1] not in ("%", "!"))
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # only IPython understands it
        return set()
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names | {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}


# Files


def test_whose_submission_it_is(notebook, course, tmp_path):
    other = nbformat.read(course("03_transfer_learning", code('check("03.1", x)', "check-03.1")), 4)
    root = tmp_path / "class"
    names = {
        f"{STEM}_ada (1).ipynb": "ada",
        f"grace-{STEM}.ipynb": "grace",
        "ben_02.ipynb": "ben",
        "02 Emmy Noether.ipynb": "Emmy Noether",
        "group_02_02.ipynb": "group_02",
        f"Copy of {STEM}.ipynb": "class",
        f"{STEM}-Copy1.ipynb": "class",
        "Alan/deep/my solution.ipynb": "Alan",
    }
    for name in (*names, "Alan/.ipynb_checkpoints/a.ipynb", "__MACOSX/a.ipynb", "._a.ipynb"):
        submit(notebook, root, name)
    submit(other, root, "ben_03.ipynb")
    found, remarks = find_submissions(root)
    students = {one.path.relative_to(root).as_posix(): one.student for one in found}
    assert students == names | {"ben_03.ipynb": "ben"}
    assert remarks == []


def test_which_notebook_it_is(notebook, tmp_path):
    path = tmp_path / "03.ipynb"
    assert number_of(notebook, path) == "02"
    notebook.cells[0].source = "# My notes"
    assert number_of(notebook, path) == "02"
    notebook.cells = notebook.cells[:5]
    assert number_of(notebook, path) == "03"
    assert number_of(notebook, tmp_path / "notes.ipynb") == ""


def test_files_that_cannot_be_graded(notebook, tmp_path):
    root = tmp_path / "class"
    with pytest.raises(CourseError, match="no notebook in the folder"):
        find_submissions(root)
    notebook.cells = []
    submit(notebook, root, "notes.ipynb")
    (root / "broken.ipynb").write_text("{", "utf-8")
    submissions, remarks = find_submissions(root)
    assert submissions == []
    assert ["could not be read" in remark for remark in remarks] == [True, False]
    assert "notes.ipynb is not a notebook of the course with exercises." in remarks[1]


def test_of_two_files_the_better_one_counts_then_the_newer_one(tmp_path):
    files = {"old": (1, WRONG), "best": (2, PASSED), "newest": (3, WRONG)}
    submissions = []
    for name, (date, state) in files.items():
        path = tmp_path / name
        path.write_text("")
        os.utime(path, (date, date))
        verdicts = {"02.1": Verdict(PASSED), "02.2": Verdict(state, name)}
        submissions.append(Submission(path, "Ada", None, verdicts))
    remarks = []
    students = collect(submissions, remarks)
    assert students["Ada"]["02.2"] == Verdict(PASSED, "best")
    assert len(remarks) == 2
    assert collect([submissions[2], submissions[0]], [])["Ada"]["02.2"].text == "newest"


def test_results_are_for_spreadsheets_and_browsers(tmp_path):
    students = {
        "Jörg <b>": {"02.1": Verdict(WRONG, "a < b"), "02.2": Verdict(NOT_TRIED)},
        "Ada": {"01.1": Verdict(PASSED)},
    }
    write_grades(students, ["<i> is not a notebook."], tmp_path)
    assert (tmp_path / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert rows(tmp_path) == {"Jörg <b>": "000", "Ada": "11"}  # nothing where none was submitted
    page = (tmp_path / "grades.html").read_text("utf-8")
    assert "<b>" not in page
    assert "<i>" not in page
    assert "02.1 not yet: a &lt; b" in page
    assert "0 of 2" in page


def test_no_submission_can_be_graded(tmp_path):
    write_grades({}, ["No."], tmp_path)
    assert (tmp_path / "grades.csv").read_text("utf-8-sig").split() == ["student,points"]


# The course's cells in a submission


def judged(nb):
    """For each check of the course its exercise, with the code of the cell above."""
    pairs = zip(nb.cells, nb.cells[1:], strict=False)
    return [(cell.metadata.judge[0], above.source) for above, cell in pairs if is_judge(cell)]


def is_judge(cell):
    return "judge" in cell.metadata


def test_each_check_is_replaced(notebook):
    nb = with_answers(notebook, solutions())
    checks = tagged_cells(nb, "check")
    checks["02.1"].source = 'print("02.1: passed")'
    checks["02.2"].source = "check('02.2', print)  # passed"
    nb.cells.remove(checks["02.3"])
    exercise = tagged_cells(nb, "exercise")["02.4"]
    exercise.source += '\ncheck("02.4", (two_pairs))'
    for cell in nb.cells:
        cell.metadata.pop("tags", None)
    checks["02.1"].metadata["tags"] = ["check-02.1"]
    nb.cells.append(new_code_cell('check("02.2", training_step)'))
    nb.cells.append(new_markdown_cell("The end."))
    assert judged(with_course_cells(nb, notebook)) == [
        ("02.1", 'print("02.1: passed")'),
        ("02.2", ""),
        ("02.4", solutions()["02.4"] + "\n"),
        ("02.4", ""),
        ("02.2", ""),
        ("02.3", "The end."),
    ]


@pytest.mark.parametrize("tags", [True, False])
def test_set_up_and_parameters_are_those_of_the_course(notebook, tags):
    nb = deepcopy(notebook)
    tagged(nb, "setup").source += "\n1 / 0"
    parameters = tagged(nb, "parameters")
    parameters.source = parameters.source.replace("cutouts", "my photos").replace("3", "300")
    if not tags:
        for cell in nb.cells:
            cell.metadata.clear()
    nb = with_course_cells(nb, notebook)
    text = "\n".join(cell.source for cell in nb.cells)
    assert "my photos" not in text
    assert "1 / 0" not in text
    assert tagged(nb, "injected-parameters").source.endswith("epochs = 1\n")


def test_set_up_and_parameters_that_were_removed_come_back(notebook):
    nb = deepcopy(notebook)
    nb.cells = nb.cells[3:]
    nb = with_course_cells(nb, notebook)
    tags = [set(cell.metadata.tags) - {"hide-input"} for cell in nb.cells[:3]]
    assert tags == [{"setup"}, {"parameters"}, {"injected-parameters"}]

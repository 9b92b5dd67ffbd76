"""The notebooks keep the rules, and each rule finds what it is for."""

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_output
from small import code, small_notebook

from tools.lint_notebooks import RULES, code_cells, lint, lint_files
from tools.notebooks import NOTEBOOKS

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
NAME = "91_small"


@pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])
def test_the_notebook_keeps_the_rules(path):
    assert lint(nbformat.read(path, as_version=4), path.stem) == []


def good():
    """A notebook as it is after running; nothing is wrong with it."""
    nb = small_notebook(code("x = 1"), code("print(x)"))
    recap = nb.cells.index(cell_of(nb, "## 4"))
    nb.cells[recap:recap] = exercises()
    for count, (_, cell) in enumerate(code_cells(nb), start=1):
        cell.execution_count = count
        if "print" in cell.source:
            cell.outputs = [new_output("stream", name="stdout", text="1\n")]
        if "display" in cell.source:
            cell.outputs = [picture("A figure that shows nothing at all")]
    return nb


def exercises():
    """Two predictions, three exercises and a quiz."""
    cells = []
    for letter in "ab":
        guess = f"guess_{letter}"
        cells += [new_markdown_cell(f"**Predict first**: which {letter}?")]
        cells += [code(f"{guess} = None  # a number", f"prediction-91.{letter}")]
        cells += [code(f'compare("91.{letter}", {guess}, x)', f"feedback-91.{letter}")]
    for number, kind in enumerate(("complete a line", "write it", "open"), start=1):
        cells += [new_markdown_cell(f"### Exercise 91.{number}: {kind}\n\nDo it.")]
        cells += [code(f"def f{number}(): ...", f"exercise-91.{number}")]
        cells += [code(f'check("91.{number}", f{number})', f"check-91.{number}")]
    for number in range(1, 6):
        answers = [
            f"<details><summary>{letter}. This</summary>\n\n"
            f"{verdict}: there is a good reason.\n\n</details>"
            for letter, verdict in zip("ABC", ("Wrong", "Right", "Wrong"), strict=True)
        ]
        question = new_markdown_cell("\n\n".join([f"**Question {number}.** Why?", *answers]))
        question.metadata["tags"] = ["quiz"]
        cells.append(question)
    return cells


def picture(alt):
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return new_output("display_data", data={"image/png": "iVBORw0K"}, metadata=metadata)


def cell_of(nb, start):
    return next(cell for cell in nb.cells if cell.source.startswith(start))


def set_source(start, old, new):
    def change(nb):
        cell = cell_of(nb, start)
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def set_output(**output):
    def change(nb):
        cell_of(nb, "print(x)").outputs = [new_output(**output)]

    return change


def add_text(text):
    return lambda nb: nb.cells.insert(3, new_markdown_cell(text))


def untag(start):
    return lambda nb: cell_of(nb, start).metadata.update(tags=[])


def swap_first_code(nb):
    nb.cells[1], nb.cells[2] = nb.cells[2], nb.cells[1]


def leave_out_alt(nb):
    cell_of(nb, "figure").outputs = [picture(None)]


def shorten_alt(nb):
    cell_of(nb, "figure").outputs = [picture("a figure")]


def skip_a_count(nb):
    cell_of(nb, "print(x)").execution_count += 1


def repeat_an_id(nb):
    nb.cells[3].id = nb.cells[2].id


def set_course(**values):
    return lambda nb: nb.metadata.course.update(values)


def compare_nothing(nb):
    for _, cell in code_cells(nb):
        cell.metadata.tags = [*cell.metadata.tags, "nbval-ignore-output"]


def unfold(nb):
    del cell_of(nb, "# @title setup").metadata["cellView"]


def tiny_missing(nb):
    del nb.metadata.course["tiny"]


BROKEN = [
    ("title", set_source("# 91", "# 91.", "# 90."), "must start with the heading"),
    ("title", set_source("# 91", "# 91.", "91."), "one heading of level 1, not 0"),
    ("title", add_text("# Another"), "one heading of level 1, not 2"),
    ("objectives", set_source("# 91", "You will be able to", "Goals"), "no list"),
    ("objectives", set_source("# 91", "- read it,\n", ""), "objectives, not 2"),
    ("objectives", set_source("# 91", "- read it,\n", "- a\n- b\n- c\n- d\n"), "not 6"),
    ("prerequisites_and_minutes", set_source("# 91", "Prerequisites", "Needs"), "prerequisites"),
    ("prerequisites_and_minutes", set_source("# 91", "1 minute", "a while"), "no minutes"),
    ("first_code", untag("# @title setup"), "0 cells tagged 'setup'"),
    ("first_code", untag("# @title parameters"), "0 cells tagged 'parameters'"),
    ("first_code", set_source("# @title imports", "# @title", "#"), "must start with"),
    ("first_code", unfold, "be folded"),
    ("first_code", swap_first_code, "code cell 1 must be"),
    ("sections", set_source("## 2", "## 2.", "## 5."), 'must start with "2. "'),
    ("sections", set_source("## 3", "Exercises", "Tasks"), "'exercise'"),
    ("sections", set_source("## 4", "Recap", "End"), "'recap'"),
    ("alt_text", leave_out_alt, "alt text ''"),
    ("alt_text", shorten_alt, "alt text 'a figure'"),
    ("clean_outputs", set_output(output_type="error", ename="KeyError"), "KeyError"),
    ("clean_outputs", set_output(output_type="stream", name="stderr", text="Warning"), "stderr"),
    ("no_absolute_path", add_text("see /home/ann/x.png"), "/home/ann/x.png"),
    (
        "no_absolute_path",
        set_source("# @title parameters", "cutouts", "C:\\\\photos"),
        "C:\\\\photos",
    ),
    ("no_absolute_path", set_output(output_type="stream", text="in /tmp/a\n"), "/tmp/a"),
    ("short_cells", set_source("x = 1", "x = 1", "x = 1\n" * 16), "16 lines of code"),
    ("size", set_source("x = 1", "x = 1", "assert x\n" * 9), "9 assertions"),
    ("size", add_text("word " * 3200), "words of text (at most 3200)"),
    ("size", lambda nb: nb.cells.extend(code("x") for _ in range(60)), "code cells (at most 60)"),
    ("language", add_text("A label is drawn by lot."), "at random"),
    ("language", set_source("x = 1", "x = 1", "x = 1  # images a class"), "write per"),
    ("language", set_output(output_type="stream", text="learned by heart\n"), "memorize"),
    ("equations", add_text("$$\\begin{aligned} a &= b \\end{aligned}$$"), "an aligned equation"),
    ("execution_counts", skip_a_count, "instead of 7"),
    ("format", repeat_an_id, "not unique"),
    ("format", lambda nb: nb.update(nbformat_minor=4), "format 4.4"),
    ("format", lambda nb: nb.metadata.kernelspec.update(name="conda"), "python3"),
    ("metadata", set_course(minutes=0), "minutes"),
    ("metadata", set_course(tiny={"epoch": 1}), "'epoch', which is no parameter"),
    ("metadata", tiny_missing, "tiny is missing"),
    ("headline", untag('print("working'), "0 cells tagged 'headline'"),
    ("compared", compare_nothing, "only 0 of 4"),
    ("exercises", untag("def f2"), "not ['91.1', '91.3']"),
    ("exercises", set_source("### Exercise 91.2", "Exercise 91.2", "Task"), "the cell above"),
    ("exercises", set_source('check("91.2"', "f2)", "f2, 1)"), "the cell below must be the check"),
    ("exercises", untag('check("91.2"'), "the cell below must be the check"),
    ("exercises", set_source("### Exercise 91.3", "open", "write it"), "must be an open one"),
    ("predictions", untag("guess_b"), "two predictions or more"),
    ("predictions", set_source("guess_b", "None", "3"), "one line"),
    ("predictions", set_source("**Predict first**: which b", "Predict", "Think"), "its question"),
    ("predictions", untag('compare("91.b"'), "no feedback cell below"),
    ("predictions", set_source('compare("91.b"', "guess_b", "guess_a"), "no feedback cell"),
    ("quiz", untag("**Question 5"), "not 4"),
    ("quiz", set_source("**Question 5", "5", "6"), 'with "**Question 5'),
    ("quiz", set_source("**Question 5", "B. ", "C. "), "not 'ACC'"),
    ("quiz", set_source("**Question 5", "Right", "Wrong"), "one answer is right"),
    (
        "quiz",
        set_source("**Question 5", "Right: there is a good reason.", "Right: yes."),
        "one answer",
    ),
    ("pitfalls", add_text("Look:\n\n> **Pitfall.** It is wrong."), "Pitfall"),
]


def test_a_good_notebook_passes():
    assert lint(good(), NAME) == []


@pytest.mark.parametrize(("rule", "change", "message"), BROKEN)
def test_the_rule_finds(rule, change, message):
    nb = good()
    change(nb)
    found = [wrong for _, wrong in RULES[rule](nb, NAME)]
    assert any(message in wrong for wrong in found), found
    assert all(line.startswith(f"{NAME}: ") for line in lint(nb, NAME))


def test_every_rule_is_proven():
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/home/page",
        "data/tmp/x",
        "~/home",
        'print("N:\\n")',
        "```\n# a comment\n```",
        "> **Pitfall.** It is wrong.",
    ],
)
def test_nothing_wrong_with(text):
    nb = good()
    add_text(text)(nb)
    assert lint(nb, NAME) == []


def test_an_error_may_be_meant():
    nb = good()
    set_output(output_type="error", ename="KeyError")(nb)
    cell_of(nb, "print(x)").metadata.tags = ["raises-exception"]
    assert lint(nb, NAME) == []


def test_the_command_names_notebook_and_cell(tmp_path, capsys):
    nb = good()
    leave_out_alt(nb)
    nbformat.write(nb, tmp_path / f"{NAME}.ipynb")
    assert lint_files([tmp_path / f"{NAME}.ipynb"]) == 1
    assert f"{NAME}: cell 7: a picture" in capsys.readouterr().out

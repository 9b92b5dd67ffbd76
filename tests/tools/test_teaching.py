"""The tests for learners are parallel, and their key fits them and the notebooks."""

import re

import nbformat
import pytest

from tools.notebooks import ROOT, find_notebooks, sections

FOLDER = ROOT / "teaching"
TESTS = (FOLDER / "tests.md").read_text("utf-8")
KEY = (FOLDER / "test_answers.md").read_text("utf-8")
COUNT = 12


def questions(test):
    """The choices of each question of a test."""
    part = re.split(r"^## (.+)\n", TESTS, flags=re.MULTILINE)
    text = part[part.index(test) + 1]
    return [re.findall(r"^- ([A-C])\. ", q, re.MULTILINE) for q in text.split("\n**")[1:]]


@pytest.mark.parametrize(("test", "column"), [("Pre-test", 1), ("Post-test", 2)])
def test_the_key_explains_each_choice_of_each_question(test, column):
    assert questions(test) == [["A", "B", "C"]] * COUNT
    entries = re.split(r"^## \d+\. ", KEY, flags=re.MULTILINE)[1:]
    assert len(entries) == COUNT
    correct = []
    for entry in entries:
        rows = [line.strip("| ").split(" | ") for line in entry.splitlines() if line[:1] == "|"][2:]
        assert sorted(row[column] for row in rows) == ["A", "B", "C"]
        assert [row[0].startswith("**Correct.**") for row in rows] == [True, False, False]
        correct.append(rows[0][column])
    assert all(3 <= correct.count(letter) <= 5 for letter in "ABC"), correct


def test_the_sections_that_the_pages_name_exist():
    known = {}
    for path in find_notebooks():
        headings = set(sections(nbformat.read(path, as_version=4)))
        known[path.stem[:2]] = {heading.partition(".")[0] for heading in headings}
    text = "\n".join(path.read_text("utf-8") for path in FOLDER.glob("*.md"))
    named = re.findall(r"notebook (\d\d),\s+section (\d+)", text)
    assert {notebook for notebook, _ in named} == set(known)
    assert [pair for pair in named if pair[1] not in known[pair[0]]] == []


def test_the_rubric_has_four_levels_per_criterion():
    text = (FOLDER / "rubric.md").read_text("utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| **")]
    assert [len(row) for row in rows] == [5] * 8
    assert f"Eight criteria, 0 to 3 points each, {3 * len(rows)} in all" in text

"""The glossary, the page of pitfalls and the teaching guide agree with the notebooks."""

import re

import nbformat
import pytest

from tools import pitfalls
from tools.editions import teaching_notes
from tools.notebooks import NOTEBOOKS, tagged_cells, title
from tools.pages import write_index
from tools.site import PACKAGES, public_modules

ROOT = NOTEBOOKS.parent
COURSE = {
    path.stem: nbformat.read(path, as_version=4) for path in sorted(NOTEBOOKS.glob("*.ipynb"))
}
GLOSSARY = (NOTEBOOKS / "glossary.md").read_text("utf-8")
TERMS = re.findall(r"^### (.+)$", GLOSSARY, re.MULTILINE)
GUIDE = (ROOT / "TEACHING.md").read_text("utf-8")
LINKED = ["README.md", "TEACHING.md", "notebooks/pitfalls.md", "notebooks/glossary.md"]
LINKED += [
    path.relative_to(ROOT).as_posix()
    for folder in ("docs", "teaching")
    for path in sorted((ROOT / folder).glob("*.md"))
]
KNOWN_MISTAKES = {
    "batch accuracies rounded and averaged": "averaging accuracies of batches",
    "validation images augmented": "validation images augmented by accident",
    "eval mode for all of training": "a typo in the name of a phase",
    "mean of per-image deviations": "averaging the standard deviations",
    "state of the optimizer lost": "re-created every epoch",
    "divided by a full last batch": "dividing by `len(loader) * batch_size`",
    "correct predictions shown as mistakes": "the wrong pictures",
    "decoding to count": "decoding images to count labels",
    "rows and columns": "rows and columns swapped",
    "gradients never cleared": "forgetting `zero_grad()`",
    "evaluation in training mode": "evaluating without `eval()`",
    "unpickling": "unpickling untrusted files",
}


def anchor(heading):
    """The name that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def running_text(nb):
    """The text cells after the introduction, but not the quiz."""
    texts = [cell for cell in nb.cells[1:] if cell.cell_type == "markdown"]
    return [cell.source for cell in texts if "quiz" not in cell.metadata.get("tags", ())]


def prose(text):
    """Running text; code, headings, titles of boxes, tables and tags are blanked out."""
    pattern = r"^```.*?^```|`[^`\n]*`|^#+ [^\n]*$|^> \*\*[^\n]*?\*\*|^\|[^\n]*$|<[^>\n]*>"
    return re.sub(pattern, blank, text, flags=re.DOTALL | re.MULTILINE)


def blank(match):
    return " " * len(match.group())


def link_to(term):
    return rf"\[[^]]+\]\(glossary\.md#{re.escape(anchor(term))}\)"


def first_mention(term, text):
    """Where a term stands first, in the singular or plural; None if it does not.

    A word inside another link is no mention: the "batch" of "batch norm", say.
    """
    stem = re.escape(term)
    word = f"{stem[:-1]}(?:y|ies)" if term.endswith("y") else f"{stem}(?:e?s)?"
    others = re.sub(rf"(?!{link_to(term)})\[[^]]+\]\([^)]*\)", blank, prose(text))
    return re.search(rf"(?<![\w-]){word}(?![\w-])", others, re.IGNORECASE)


def is_linked(mention, term, text):
    """Whether a mention is the text of a link to the glossary."""
    return any(
        link.start() <= mention.start() < link.end() for link in re.finditer(link_to(term), text)
    )


def test_the_glossary_is_in_order_and_says_something():
    assert TERMS == sorted(set(TERMS), key=str.lower)
    assert len(TERMS) > 50
    entries = re.split(r"^### .+$", GLOSSARY, flags=re.MULTILINE)[1:]
    assert all(len(entry.split()) >= 6 for entry in entries)


@pytest.mark.parametrize("stem", COURSE)
def test_a_term_is_linked_where_a_notebook_first_uses_it(stem):
    text = "\n\n".join(running_text(COURSE[stem]))
    missing = []
    for term in TERMS:
        mention = first_mention(term, text)
        if mention and not is_linked(mention, term, text):
            missing.append((term, text[max(0, mention.start() - 40) : mention.end() + 20]))
    assert missing == []


def test_every_term_is_used_and_every_link_leads_to_one():
    everything = "\n".join(cell.source for nb in COURSE.values() for cell in nb.cells)
    used = set(re.findall(r"glossary\.md#([^)]+)\)", everything))
    assert used == {anchor(term) for term in TERMS}


def test_the_page_of_pitfalls_is_what_the_notebooks_say():
    assert (NOTEBOOKS / "pitfalls.md").read_text("utf-8") == pitfalls.page()


def test_every_pitfall_is_measured():
    boxes = [(nb, place) for nb in COURSE.values() for place, _ in pitfalls.boxes(nb)]
    assert len(boxes) >= 11
    assert all(pitfalls.measured(nb, place) for nb, place in boxes)


@pytest.mark.parametrize("mistake", KNOWN_MISTAKES)
def test_each_known_mistake_has_its_box(mistake):
    texts = [text for nb in COURSE.values() for _, text in pitfalls.boxes(nb)]
    heads = [text.partition("**")[2].partition("**")[0] for text in texts]
    assert any(KNOWN_MISTAKES[mistake] in head for head in heads)


@pytest.mark.parametrize("stem", COURSE)
def test_the_guide_has_notes_on_the_notebook(stem):
    notes = teaching_notes(GUIDE, stem[:2])
    assert f"### {title(COURSE[stem])}\n" in GUIDE
    for part in ("Objectives", "Prerequisites", "Time plan", "Common misunderstandings"):
        assert f"**{part}**" in notes
    minutes = re.findall(r"^\| *(\d+) *\|", notes, re.MULTILINE)
    assert sum(map(int, minutes)) == 90
    named = re.findall(r"\b[01]\d\.\d\b", notes)
    assert set(named) <= set(tagged_cells(COURSE[stem], "exercise"))


def test_the_plans_name_exercises_that_exist():
    known = {name for nb in COURSE.values() for name in tagged_cells(nb, "exercise")}
    plans = GUIDE.partition("## The notebooks")[0]
    named = set(re.findall(r"\b[01]\d\.\d\b", plans))
    assert named
    assert named <= known


@pytest.mark.parametrize("page", LINKED)
def test_the_links_of_a_page_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8"))
    files = [link for link in links if not re.match(r"\w+://", link)]
    assert [file for file in files if not (path.parent / file).exists()] == []


@pytest.mark.parametrize("page", LINKED)
def test_the_sections_that_a_page_links_exist(page):
    from urllib.parse import unquote

    text = (ROOT / page).read_text("utf-8")
    heads = re.findall(r"^##+ (.+)$", (NOTEBOOKS / "pitfalls.md").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"pitfalls\.md#([^)]+)\)", text)) <= {anchor(head) for head in heads}
    for stem, section in re.findall(r"\]\((?:\.\./notebooks/)?(\w+)\.ipynb#([^)]+)\)", text):
        headings = [
            line.removeprefix("## ").replace(" ", "-")
            for cell in COURSE[stem].cells
            for line in cell.source.splitlines()
            if line.startswith("## ")
        ]
        assert unquote(section) in headings


def test_glossary_and_pitfalls_become_pages_that_links_find(tmp_path):
    write_index(tmp_path / "nothing executed", tmp_path)
    glossary = (tmp_path / "glossary.html").read_text("utf-8")
    assert {anchor(term) for term in TERMS} <= set(re.findall(r'\bid="([^"]+)"', glossary))
    pitfalls = (tmp_path / "pitfalls.html").read_text("utf-8")
    assert 'href="01_data_exploration.html#' in pitfalls
    assert ".ipynb" not in re.findall(r'href="([^"]*)"', pitfalls)
    index = (tmp_path / "index.html").read_text("utf-8")
    assert 'href="glossary.html"' in index and 'href="pitfalls.html"' in index


def test_the_site_lists_the_modules_of_the_three_packages_but_no_hints():
    names = [name for package in PACKAGES for name in public_modules(package)]
    wanted = {"course_utils.training", "course_exercises", "image_classifier.train"}
    assert wanted <= set(names)
    assert not any(re.search(r"notebook_|__main__", name) for name in names)
    assert all((ROOT / f"{name.replace('.', '/')}.py").is_file() for name in names if "." in name)

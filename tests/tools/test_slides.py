"""Each deck shows the figures and questions of its notebook, and fits the projector."""

import re

import nbformat
import pytest
from chromium import in_a_browser

from tools.__main__ import main
from tools.lint_notebooks import tags
from tools.notebooks import find_notebooks, tagged_cells
from tools.pitfalls import boxes
from tools.screenshots import launched
from tools.slides import slides

MEGABYTES = 1.5
SMALLEST = """[...document.querySelectorAll("main :is(p, li, pre, code, h1, h2), nav")]
    .map((element) => parseFloat(getComputedStyle(element).fontSize))"""
OVERFLOWS = """slides.map((slide, i) => {
    show(i);
    const number = slide.querySelector(":scope > :last-child").getBoundingClientRect();
    const covered = number.bottom > innerHeight - 4 || number.right > innerWidth;
    const high = slide.scrollHeight > slide.clientHeight;
    return high || covered || slide.scrollWidth > slide.clientWidth ? i + 1 : 0;
}).filter(Boolean)"""


@pytest.fixture
def decks(built):
    """The files of all decks, in the instructor edition."""
    return sorted((built / "instructor" / "slides").iterdir())


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    yield page
    page.close()


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_a_deck_has_all_figures_and_questions(path):
    nb = nbformat.read(path, as_version=4)
    found = [*slides(nb)]
    kinds = [slide.kind for slide in found]
    assert kinds.count("figure") == path.read_text("utf-8").count('"image/png": "')
    assert kinds.count("answer") == sum("quiz" in tags(cell) for cell in nb.cells) == 5
    headings = [slide.heading for slide in found]
    assert headings.count("Predict first") == len(tagged_cells(nb, "prediction"))
    pitfalls = [heading for heading in headings if heading.startswith("Pitfall: ")]
    assert len(set(pitfalls)) == len(boxes(nb))
    equations = "\n".join(cell.source for cell in nb.cells).count("$$") // 2
    assert sum(slide.body.count('display="block"') for slide in found) == equations
    assert all(len(alt) >= 20 for slide in found for alt in re.findall('alt="([^"]*)"', slide.body))


def test_the_command_writes_a_deck_for_each_notebook(course, tmp_path, capsys):
    course(), course("92_other")
    with pytest.raises(SystemExit) as ended:
        main(["slides"])
    assert ended.value.code == 0
    names = {path.name for path in (tmp_path / "output" / "slides").iterdir()}
    assert names == {"91_small.html", "92_other.html"}
    assert capsys.readouterr().out == "output/slides\n"


@pytest.mark.long
def test_a_deck_is_one_small_file(decks):
    for deck in decks:
        text = deck.read_text("utf-8")
        assert len(text) < MEGABYTES * 1e6, deck.name
        assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', text) == []
        page = text.partition("<script>")[0]
        assert not re.search(r"@import|url\(|\$\$|\*\*|\]\(", page), deck.name


@in_a_browser
@pytest.mark.long
def test_every_slide_fits(decks, page):
    for deck in decks:
        page.goto(deck.as_uri())
        assert page.evaluate(OVERFLOWS) == [], deck.name
        assert min(page.evaluate(SMALLEST)) >= 24, deck.name


@in_a_browser
def test_every_slide_prints_on_one_page(decks, page):
    """Of any deck: all slides have the same height, and what does not fit is hidden."""
    page.goto(decks[0].as_uri())
    pdf = page.pdf(prefer_css_page_size=True)
    assert int(re.findall(rb"/Count (\d+)", pdf)[-1]) == page.evaluate("slides.length")


@in_a_browser
def test_the_keys_turn_the_pages(decks, page):
    page.goto(decks[0].as_uri())
    last = page.evaluate("slides.length")
    forward = {"ArrowRight": 2, " ": 3, "End": last, "PageDown": last}
    backward = {"PageUp": last - 1, "ArrowLeft": last - 2, "Home": 1}
    for key, number in (forward | backward).items():
        page.keyboard.press(key)
        assert page.inner_text("nav span") == f"{number} / {last}"
    page.get_by_role("button", name="Next slide").click()
    page.reload()
    assert page.inner_text("nav span") == f"2 / {last}"
    assert page.locator("section:visible").count() == 1


@in_a_browser
def test_without_scripts_a_deck_is_one_page(decks, browser):
    page = browser.new_page(java_script_enabled=False)
    page.goto(decks[0].as_uri())
    assert page.locator("section:visible").count() == page.locator("section").count() > 20
    page.close()

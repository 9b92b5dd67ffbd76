"""The website is whole: no warning, no request, no console error, readable on a phone."""

import os
import re
import subprocess
import sys

import pytest
from chromium import in_a_browser
from copies import copy_course, served
from shared import made_once

from tools.notebooks import NOTEBOOKS, ROOT
from tools.screenshots import launched
from tools.site import PACKAGES, public_modules

LEFT_TOO_SOON = "net::ERR_ABORTED"  # the next page was opened while an icon was loading
ONLY_VIOLATIONS = {"resultTypes": ["violations"]}  # the rest takes long on long pages
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site of a published course, built as a user does."""

    def build(folder):
        copy_course(folder / "course")
        environment = os.environ | {"COURSE_OUTPUT": str(folder / "build")}
        for arguments in (["publish", "ada-l/images", "v2"], ["site"]):
            command = [sys.executable, "-m", "tools", *arguments]
            options = {"cwd": folder / "course", "env": environment, "text": True}
            ended = subprocess.run(command, capture_output=True, **options)
            assert ended.returncode == 0, ended.stdout + ended.stderr

    return made_once(tmp_path_factory, "published", build) / "build" / "site"


@pytest.fixture
def start(request, site):
    """Where the site begins: a folder on disk, or a server."""
    if request.param == "disk":
        yield site.as_uri()
        return
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


def pages(site):
    return sorted(site.rglob("*.html"))


def test_every_notebook_and_module_has_its_page(site):
    names = {path.relative_to(site).as_posix() for path in pages(site)}
    assert {f"notebooks/{path.stem}.html" for path in NOTEBOOKS.glob("*.ipynb")} <= names
    modules = [name for package in PACKAGES for name in public_modules(package)]
    assert {f"api/{name}.html" for name in modules} <= names
    assert {"notebooks/glossary.html", "notebooks/pitfalls.html", "teaching.html"} <= names
    assert {f"slides/{path.stem}.html" for path in NOTEBOOKS.glob("*.ipynb")} <= names
    guides = {f"teaching/{path.stem}.html" for path in (ROOT / "teaching").glob("*.md")}
    assert guides - names == {"teaching/test_answers.html"}  # students read the website
    assert {f"{path.stem}.html" for path in (ROOT / "docs").glob("*.md")} <= names


def test_every_link_inside_the_site_leads_somewhere(site):
    broken = []
    for page in pages(site):
        text = page.read_text("utf-8")
        for link in re.findall(r'<a\b[^>]*\bhref="([^"]+)"', text):
            if re.match(r"\w+:|//", link):
                continue
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.is_file():
                broken.append((page.name, link))
            elif anchor and target.suffix == ".html":
                if f'id="{anchor}"' not in target.read_text("utf-8"):
                    broken.append((page.name, link))
    assert broken == []


def test_every_figure_says_what_it_shows(site):
    for path in NOTEBOOKS.glob("*.ipynb"):
        page = (site / "notebooks" / f"{path.stem}.html").read_text("utf-8")
        images = re.findall(r'<img src="\.\./(_static/figures/[^"]+)" alt="([^"]+)"', page)
        assert len(images) == path.read_text("utf-8").count('"image/png": "')
        assert all((site / file).is_file() and len(alt) >= 20 for file, alt in images)


def test_a_published_course_has_buttons_that_open_its_notebooks(site):
    for path in NOTEBOOKS.glob("*.ipynb"):
        page = (site / "notebooks" / f"{path.stem}.html").read_text("utf-8")
        place = f"ada-l/images/blob/v2/notebooks/{path.name}"
        buttons = re.findall(r'<a href="([^"]+)"[^>]*class="btn[^"]*dropdown-item"', page)
        assert f"https://colab.research.google.com/github/{place}" in buttons
        [binder] = [link for link in buttons if link.startswith("https://mybinder.org/v2/gh/")]
        assert f"ada-l/images/v2?urlpath=lab/tree/notebooks/{path.name}" in binder
    assert "mybinder" not in (site / "api" / "course_utils.plots.html").read_text("utf-8")


@in_a_browser
@pytest.mark.parametrize("start", ["disk", "server"], indirect=True)
def test_every_page_loads_without_complaint(site, start, browser):
    page = browser.new_page()
    found = []
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    page.on("requestfailed", lambda r: found.append(r.url) if r.failure != LEFT_TOO_SOON else None)
    page.on("response", lambda r: found.append(f"{r.status}: {r.url}") if r.status > 399 else None)
    page.on("request", lambda r: found.append(r.url) if not r.url.startswith(start) else None)
    chosen = pages(site)
    if start.startswith("http"):  # the same files: one page of each folder
        chosen = list({path.parent: path for path in chosen}.values())
    for path in chosen:
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            if width == 390:
                page.goto(f"{start}/{path.relative_to(site).as_posix()}")
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            found += [f"{wide} pixels too wide"] * (wide > 0)
        found = [complaint for complaint in found if not complaint.startswith("data:")]
        assert found == [], (path.name, found)
    page.close()


@in_a_browser
@pytest.mark.parametrize("start", ["disk", "server"], indirect=True)
def test_the_search_finds_a_term(start, browser):
    page = browser.new_page()
    page.goto(f"{start}/search.html?q=occlusion")
    page.get_by_text("Search finished").wait_for(timeout=20_000)
    results = page.inner_text("#search-results")
    assert "Glossary" in results and "08. Looking inside" in results
    page.close()


@in_a_browser
@pytest.mark.parametrize("width", [390, 1440])
def test_a_reader_finds_the_way_to_the_next_notebook_and_back(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((site / "index.html").as_uri())
    if width == 390:
        page.get_by_role("button", name="Toggle primary sidebar").click()
    page.get_by_role("link", name="04. Training curves").first.click()
    page.get_by_role("link", name="05. Confusion matrices").last.click()
    assert page.url.endswith("notebooks/05_confusion_matrices.html")
    page.get_by_role("link", name="04. Training curves").last.click()
    assert page.url.endswith("notebooks/04_training_curves.html")
    page.close()


@in_a_browser
def test_the_game_of_loss_curves_is_played_to_its_end(site, browser):
    page = browser.new_page()
    page.goto((site / "curve_game.html").as_uri())
    game = page.locator("#curve-game")
    modes = page.evaluate("Object.keys(DIAGNOSES)")
    assert {curve["name"] for curve in page.evaluate("CURVE_GAME.curves")} == set(modes)
    assert len(modes) >= 12
    found = set()
    for number in range(1, len(modes) + 1):
        assert f"Curve {number} of {len(modes)}" in game.inner_text()
        assert "Losses of" in game.get_by_role("img").get_attribute("aria-label")
        while game.get_by_role("button", name="Next curve").count() == 0:
            game.locator(".choices button:enabled").first.click()
            assert re.search("^(Right|No)[.] ", game.locator("[aria-live]").inner_text())
        found.add(game.locator("button.right").inner_text())
        game.get_by_role("button", name="Next curve").click()
    assert found == set(modes)
    assert re.search(rf"You recognized \d+ of {len(modes)} curves", game.inner_text())
    game.get_by_role("button", name="Play again").click()
    assert "Curve 1 of" in game.inner_text()
    page.close()


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(site, browser, scheme):
    """axe-core finds nothing serious on any kind of page; dark ones differ in their colors only."""
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=scheme)
    alike = {
        "notebooks": ["05_confusion_matrices", "glossary", "pitfalls"],
        "api": ["index"],
        "slides": ["05_confusion_matrices"],
    }
    options = ONLY_VIOLATIONS | ({"runOnly": ["color-contrast"]} if scheme == "dark" else {})
    for path in pages(site):
        if path.stem not in alike.get(path.parent.name, [path.stem]):
            continue
        page.goto(path.as_uri())
        found = [
            (violation["id"], violation["nodes"][0]["html"][:200])
            for violation in Axe().run(page, options=options).response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert found == [], (path.name, found)
    page.close()

"""The website is whole: no warning, no request, no console error, readable on a phone."""

import os
import re
import subprocess
import sys

import pytest
from chromium import in_a_browser, launched
from notebook_lint import NOTEBOOKS

ROOT = NOTEBOOKS.parent
AUDITED = (
    "index",
    "notebooks/01_data_exploration",
    "notebooks/glossary",
    "api/course_utils.explain",
    "teaching",
)

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the site as a user does."""
    output = tmp_path_factory.mktemp("build")
    environment = {"COURSE_OUTPUT": str(output)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_site.py")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "site"


@pytest.fixture(scope="module")
def browser():
    with launched() as found:
        yield found


def pages(site):
    return sorted(site.rglob("*.html"))


def test_every_notebook_and_module_has_its_page(site):
    names = {path.relative_to(site).as_posix() for path in pages(site)}
    assert {f"notebooks/{path.stem}.html" for path in NOTEBOOKS.glob("*.ipynb")} <= names
    modules = {p.stem for p in (ROOT / "course_utils").glob("[a-z]*.py")} - {"grade_worker"}
    assert {f"api/course_utils.{name}.html" for name in modules} <= names
    assert {"notebooks/glossary.html", "notebooks/pitfalls.html", "teaching.html"} <= names


def test_every_link_inside_of_the_site_leads_somewhere(site):
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


@in_a_browser
@pytest.mark.parametrize("width", [390, 1440])
def test_every_page_loads_without_complaint(site, browser, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    found = []
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    page.on("requestfailed", lambda request: found.append(request.url))
    page.on("request", lambda r: found.append(r.url) if not r.url.startswith("file:") else None)
    for path in pages(site):
        page.goto(path.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        found += [f"{wide} pixels too wide"] * (wide > 0)
        found = [complaint for complaint in found if not complaint.startswith("data:")]
        assert found == [], (path.name, found)
    page.close()


@in_a_browser
def test_the_search_finds_a_term(site, browser):
    page = browser.new_page()
    page.goto((site / "search.html").as_uri() + "?q=occlusion")
    page.get_by_text("Search finished").wait_for(timeout=20_000)
    results = page.inner_text("#search-results")
    assert "Glossary" in results and "08. Looking inside" in results
    page.close()


@in_a_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(site, browser, scheme):
    """axe-core finds nothing serious; all notebooks together would take many minutes."""
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(color_scheme=scheme)
    for name in AUDITED:
        page.goto((site / f"{name}.html").as_uri())
        found = [
            (violation["id"], violation["nodes"][0]["html"][:200])
            for violation in Axe().run(page).response["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert found == [], (name, found)
    page.close()

"""Build the website of the course from the executed notebooks, offline: build/site/index.html.

The sources for Sphinx are collected in build/site-source: the notebooks, with their figures as
files with alt texts, the glossary, the pitfalls, the pages in docs/, the teaching guides, and a
page for each public module. Warnings are errors. The slides are added afterwards, because they are
pages already. Chromium, if installed, prints the cheat sheet as PDF.
"""

import base64
import html
import pkgutil
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import build_main

from course_utils.errors import CourseError
from course_utils.paths import output_folder
from tools.cheat_sheet import print_pdf
from tools.notebooks import ROOT, find_notebooks, title
from tools.screenshots import CHROMIUM
from tools.slides import pictures, write_slides

PACKAGES = ("course_utils", "course_exercises", "image_classifier")
INTERNAL = re.compile(r".*\.(_.*|notebook_\d\d)")  # the checks of the exercises contain hints
ANSWERS = "test_answers.md"  # not for students, who read the website
PRIVATE = re.compile(rf"\[([^]]+)\]\((?:solutions|(?:teaching/)?{ANSWERS})\)")
PLACE_OF_TABLE = "<!-- the table of the README -->"
SLIDES = """# Slides

Figures, equations and questions of each notebook, for the projector. The arrow keys, the space
bar, Home and End move between the slides; printing gives one page per slide. The explanations are
in the notebooks.

"""
PLACE_OF_PDF = "<!-- the link to the PDF -->"
LINK_TO_PDF = '<p><a href="cheat_sheet.pdf">Two A4 pages to print (PDF)</a></p>'
BUTTON = '<summary aria-label="Show the pages below"><span class="toctree-toggle"'


def build_site() -> Path:
    """Build the site and return its folder.

    Raises:
        CourseError: Sphinx reports an error or a warning.
    """
    source, site = output_folder() / "site-source", output_folder() / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(source)
    options = ["-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    if build_main([*options, str(source), str(site)]) != 0:
        raise CourseError("The site could not be built; see the messages above.")
    if CHROMIUM:
        print_pdf(site / "cheat_sheet.pdf")
    else:
        print("The site has no cheat_sheet.pdf, which needs Chromium: install it and try again.")
    for template in (site / "_static").glob("*webpack-macros.html"):
        template.unlink()  # not a page
    for page in site.rglob("*.html"):  # a button of the theme has no label
        text = page.read_text("utf-8").replace('<summary><span class="toctree-toggle"', BUTTON)
        page.write_text(text, encoding="utf-8")
    write_slides(site / "slides")
    return site


def write_sources(source: Path) -> None:
    """Collect the sources for Sphinx in a new folder."""
    shutil.copytree(ROOT / "docs", source)
    for page in source.glob("*.md"):
        page.write_text(with_site_links(page.read_text("utf-8")), encoding="utf-8")
    if CHROMIUM:
        sheet = (source / "cheat_sheet.md").read_text("utf-8").replace(PLACE_OF_PDF, LINK_TO_PDF)
        (source / "cheat_sheet.md").write_text(sheet, encoding="utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    table = re.search(r"^\| notebook \|.+?(?=\n\n)", readme, re.DOTALL | re.MULTILINE)[0]
    index = (source / "index.md").read_text("utf-8").replace(PLACE_OF_TABLE, table)
    (source / "index.md").write_text(index, encoding="utf-8")
    shutil.copytree(ROOT / "notebooks" / "images", source / "notebooks" / "images")
    slides = SLIDES
    for path in find_notebooks():
        nb = nbformat.read(path, as_version=4)
        slides += f'- <a href="slides/{path.stem}.html">{title(nb)}</a>\n'
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = with_site_links(cell.source)
        place_figures(nb, path.stem, source / "_static" / "figures")
        nbformat.write(nb, source / "notebooks" / path.name)
    for path in (ROOT / "notebooks").glob("*.md"):
        text = with_site_links(path.read_text("utf-8"))
        (source / "notebooks" / path.name).write_text(text, encoding="utf-8")
    (source / "slides.md").write_text(slides, encoding="utf-8")
    (source / "teaching").mkdir()
    for path in (ROOT / "TEACHING.md", *(ROOT / "teaching").glob("*.md")):
        name = path.relative_to(ROOT).as_posix().replace("TEACHING", "teaching")
        if path.name != ANSWERS:
            page = PRIVATE.sub(r"\1", path.read_text("utf-8")).replace("../TEACHING", "../teaching")
            page = page.replace("| slides:", "| [slides](slides.md):")
            adapt = with_site_links if path.parent == ROOT else with_site_anchors
            (source / name).write_text(adapt(page), encoding="utf-8")
    write_api(source / "api")


def with_site_links(text: str) -> str:
    """Adapt links of a page that the site has in its top folder."""
    for old, new in (("../notebooks/", "notebooks/"), ("../TEACHING", "teaching"), ("docs/", "")):
        text = text.replace(f"]({old}", f"]({new}")
    return with_site_anchors(text)


def with_site_anchors(text: str) -> str:
    """Adapt links to the anchors that Sphinx generates."""

    def translate(match: re.Match) -> str:
        heading = unquote(match[2]).replace("-", " ").lower()
        name = re.sub(r"[^\w ]", "", heading).replace(" ", "-")
        return f"{match[1]}#{name}"

    return re.sub(r"(\]\([\w/]+\.ipynb)#([^)\s]+)", translate, text)


def place_figures(nb: NotebookNode, stem: str, folder: Path) -> None:
    """Write the figures of a notebook as files; replace them with images that have alt texts."""
    folder.mkdir(exist_ok=True)
    figures = [figure for cell in nb.cells for figure in pictures(cell)]
    for number, output in enumerate(figures, start=1):
        file = folder / f"{stem}-{number}.png"
        file.write_bytes(base64.b64decode(output.data["image/png"]))
        alt = html.escape(output.metadata["image/png"]["alt"], quote=True)
        image = f'<img src="../_static/figures/{file.name}" alt="{alt}">'
        output.data = NotebookNode({"text/html": image})
        output.metadata = NotebookNode()


def public_modules(package: str) -> list[str]:
    """Return the names of a package and of its public modules."""
    found = [module.name for module in pkgutil.iter_modules([str(ROOT / package)], f"{package}.")]
    return [package, *(name for name in found if not INTERNAL.fullmatch(name))]


def write_api(folder: Path) -> None:
    """Write a page for each public module, and one that lists them by package."""
    folder.mkdir()
    index = "# The packages\n"
    for package in PACKAGES:
        names = public_modules(package)
        for name in names:
            page = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
            (folder / f"{name}.md").write_text(page, encoding="utf-8")
        listed = "\n".join(names)
        index += f"\n## {package}\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    (folder / "index.md").write_text(index, encoding="utf-8")

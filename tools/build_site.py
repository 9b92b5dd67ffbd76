"""Build the website of the course from the executed notebooks, offline: build/site/index.html.

    python tools/build_site.py

Sphinx does the work; here its sources are put together in build/site-source: the notebooks with
their figures as files that have an alt text, the glossary, the pitfalls, the teaching guide, and a
page for each module of course_utils. A warning is an error.
"""

import base64
import html
import pkgutil
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode
from sphinx.cmd.build import build_main

import course_utils
from course_utils.paths import display_path, output_folder

ROOT = Path(__file__).resolve().parents[1]
INTERNAL = {"__main__", "grade_worker"}
PLACE_OF_TABLE = "<!-- the table of the README -->"
BUTTON = '<summary aria-label="Show the pages below"><span class="toctree-toggle"'


def write_sources(source: Path) -> None:
    """Put together what Sphinx reads.

    Args:
        source: A new folder.
    """
    shutil.copytree(ROOT / "docs", source)
    readme = (ROOT / "README.md").read_text("utf-8")
    table = re.search(r"^\| notebook \|.+?(?=\n\n)", readme, re.DOTALL | re.MULTILINE)[0]
    index = (source / "index.md").read_text("utf-8").replace(PLACE_OF_TABLE, table)
    (source / "index.md").write_text(index, encoding="utf-8")
    (source / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = with_anchors(cell.source)
        place_figures(nb, path.stem, source / "_static" / "figures")
        nbformat.write(nb, source / "notebooks" / path.name)
    for path in (ROOT / "notebooks").glob("*.md"):
        text = with_anchors(path.read_text("utf-8"))
        (source / "notebooks" / path.name).write_text(text, encoding="utf-8")
    guide = (ROOT / "TEACHING.md").read_text("utf-8")
    guide = re.sub(r"\[([^]]+)\]\(solutions\)", r"\1", guide)
    (source / "teaching.md").write_text(guide, encoding="utf-8")
    write_api(source / "api")


def with_anchors(text: str) -> str:
    """Let links to a heading of a notebook lead to the name that Sphinx gives it."""

    def translate(match: re.Match) -> str:
        heading = unquote(match[2]).replace("-", " ").lower()
        name = re.sub(r"[^\w ]", "", heading).replace(" ", "-")
        return f"{match[1]}#{name}"

    return re.sub(r"(\]\(\w+\.ipynb)#([^)\s]+)", translate, text)


def place_figures(nb: NotebookNode, stem: str, folder: Path) -> None:
    """Write the figures of a notebook as files, and put images with alt texts in their place.

    Args:
        nb: An executed notebook, changed in place.
        stem: The beginning of the files' names.
        folder: Where to write.
    """
    folder.mkdir(exist_ok=True)
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    for number, output in enumerate(figures, start=1):
        file = folder / f"{stem}-{number}.png"
        file.write_bytes(base64.b64decode(output.data["image/png"]))
        alt = html.escape(output.metadata["image/png"]["alt"], quote=True)
        image = f'<img src="../_static/figures/{file.name}" alt="{alt}">'
        output.data = NotebookNode({"text/html": image})
        output.metadata = NotebookNode()


def write_api(folder: Path) -> None:
    """Write a page for each module of course_utils, and one that lists them."""
    folder.mkdir()
    found = pkgutil.walk_packages(course_utils.__path__, "course_utils.")
    names = [module.name for module in found if module.name.rsplit(".", 1)[-1] not in INTERNAL]
    names = [name for name in names if ".exercises." not in name]
    for name in names:
        page = f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n   :members:\n```\n"
        (folder / f"{name}.md").write_text(page, encoding="utf-8")
    listed = "\n".join(names)
    text = (
        "# The helper package\n\nWhat the notebooks import from `course_utils`, a page for each "
        f"module.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    (folder / "index.md").write_text(text, encoding="utf-8")


def mend(site: Path) -> None:
    """Mend what the themes leave: templates that are no pages, and a button without a name."""
    for template in (site / "_static").glob("*webpack-macros.html"):
        template.unlink()
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        named = text.replace('<summary><span class="toctree-toggle"', BUTTON)
        page.write_text(named, encoding="utf-8")


def main() -> int:
    """Build the site; the status of Sphinx."""
    source, site = output_folder() / "site-source", output_folder() / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(source)
    options = ["-b", "html", "-W", "--keep-going", "-q", "-j", "auto"]
    status = build_main([*options, str(source), str(site)])
    if status == 0:
        mend(site)
        print(f"To read: {display_path(site / 'index.html')}")
    return status


if __name__ == "__main__":
    sys.exit(main())

"""Write executed notebooks and Markdown as self-contained HTML pages."""

import re
from pathlib import Path

import nbformat
from jinja2 import Template
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from tools.notebooks import NOTEBOOKS, headline, title

TOOLS = Path(__file__).parent
BACK = "[All notebooks](index.html)"


def block_equation(latex: str) -> str:
    """Convert an equation to HTML that scrolls on narrow screens."""
    return f'<div class="equation" tabindex="0">{convert(latex, display="block")}</div>'


class Renderer(IPythonRenderer):
    """Renders Markdown with equations as MathML, which needs no script."""

    def block_math(self, body: str) -> str:
        """Render an equation on lines of its own."""
        return block_equation(body)

    def inline_math(self, body: str) -> str:
        """Render an equation within a line."""
        return convert(body)


def to_html(text: str) -> str:
    """Render Markdown as HTML with embedded images."""
    renderer = Renderer(escape=False, embed_images=True, path=str(NOTEBOOKS))
    return MarkdownWithMath(renderer=renderer).render(text)


def write_notebook(nb: NotebookNode, target: Path) -> None:
    """Write a notebook as one HTML file."""
    exporter = HTMLExporter(
        raw_template=(TOOLS / "page.html.j2").read_text("utf-8"),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"markdown2html": to_html},
    )
    back = [new_markdown_cell(BACK)] if target.name != "index.html" else []
    page = new_notebook(cells=[*back, *nb.cells], metadata=nb.metadata)
    body, _ = exporter.from_notebook_node(page, {"metadata": {"name": title(nb)}})
    # Links between the notebooks lead from page to page.
    body = re.sub(r'(\bhref="(?:\d\d_\w+|glossary|pitfalls))\.(?:ipynb|md)\b', r"\1.html", body)
    target.write_text(body, encoding="utf-8")


def write_markdown(text: str, target: Path) -> None:
    """Write a page of Markdown as one HTML file, with lower-case anchors as on GitHub."""
    write_notebook(new_notebook(cells=[new_markdown_cell(text)]), target)
    body = target.read_text("utf-8")
    body = re.sub(r'(<h\d id=")([^"]*)', lambda found: found[1] + found[2].lower(), body)
    target.write_text(body, encoding="utf-8")


def write_index(executed: Path, folder: Path) -> None:
    """Write `index.html`, which links the executed notebooks, and the glossary and pitfalls."""
    rows = []
    for path in sorted(executed.glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        run = nb.metadata.course.run
        result = f"failed at {run.error}" if run.error else headline(nb)
        rows.append((path.stem, title(nb), result, run.seconds / 60))
    template = (TOOLS / "index.md.j2").read_text("utf-8")
    text = Template(template, autoescape=True, trim_blocks=True).render(rows=rows)
    write_markdown(text, folder / "index.html")
    for path in NOTEBOOKS.glob("*.md"):
        write_markdown(path.read_text("utf-8"), folder / f"{path.stem}.html")

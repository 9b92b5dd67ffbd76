"""Write slides for each notebook: its figures, equations, questions and measured pitfalls.

A deck is one HTML file without scripts or fonts from the web. It contains no explanations and no
solutions of exercises; the answer to a quiz question is on the slide after it.
"""

import base64
import html
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import nbformat
from jinja2 import Template
from nbformat import NotebookNode
from PIL import Image

from tools.notebooks import find_notebooks, sections, title
from tools.pages import TOOLS, to_html
from tools.pitfalls import boxes, measured

LINK = re.compile(r"(?<!!)\[([^]]*)\]\([^)]*\)")
HEADING = re.compile(r"^(?:## |### (?=Exercise))(.+)$", re.MULTILINE)
SENTENCE = r"(?:^|(?<=[.?!] )(?=[A-Z*]))(?:(?![.?!] [A-Z*])[^\n])*"
EQUATION = re.compile(rf"(?:{SENTENCE}\n\n|^)\$\$[^$]+\$\$", re.MULTILINE)
CHOICE = re.compile(r"<summary>(.+?)</summary>\s*(Right|Wrong): (.+?)\s*</details>", re.DOTALL)
WIDTH, HEIGHT = 1180, 590  # of the largest figure, in pixels
ENLARGED = 1.4  # at most: enlarged pixels blur
REM = 16  # pixels, on a slide of 1280 x 720


class Slide(NamedTuple):
    """A slide, in HTML, and the class of its style."""

    kind: str
    section: str
    heading: str
    body: str = ""


def write_slides(folder: Path) -> list[Path]:
    """Write the deck of each notebook to a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    template = Template((TOOLS / "slides.html.j2").read_text("utf-8"), trim_blocks=True)
    files = []
    for path in find_notebooks():
        nb = nbformat.read(path, as_version=4)
        files.append(folder / f"{path.stem}.html")
        page = template.render(title=html.escape(title(nb)), slides=[*slides(nb)])
        files[-1].write_text(page, encoding="utf-8")
    return files


def slides(nb: NotebookNode) -> Iterator[Slide]:
    """Yield the slides of a notebook with outputs, in order."""
    yield Slide("title", "", inline(title(nb)))
    costs = {position: measured(nb, position) for position, _ in boxes(nb)}
    alts = {figure.metadata["image/png"]["alt"] for cell in nb.cells for figure in pictures(cell)}
    for position, (cell, section) in enumerate(zip(nb.cells, sections(nb), strict=True)):
        section = inline(section or title(nb))
        if cell.cell_type == "code":
            yield from figures(cell, section)
        elif "quiz" in cell.metadata.get("tags", ()):
            yield from quiz(cell.source, section)
        else:
            cost = costs.get(position, "")
            yield from text(cell.source, section, "" if cost in alts else cost)


def text(source: str, section: str, cost: str) -> Iterator[Slide]:
    """Yield the headings, equations, pitfall and question of a text cell."""
    for heading in HEADING.findall(source):
        yield Slide("heading", "", inline(heading))
    if equations := EQUATION.findall(LINK.sub(r"\1", source)):
        yield Slide("equation", section, "", block("\n\n".join(equations)))
    if found := re.match(r"> \*\*(Pitfall: .+?)\.?\*\*", source):
        yield Slide("pitfall", section, inline(found[1]), block("What does this mistake cost?"))
        if cost:  # otherwise a figure shows it
            printed = f'<pre tabindex="0">{html.escape(cost)}</pre>'
            yield Slide("pitfall", section, inline(found[1]), printed)
    if found := re.search(r"\*\*Predict first\.\*\* (.+)", source, re.DOTALL):
        yield Slide("question", section, "Predict first", block(found[1]))


def figures(cell: NotebookNode, section: str) -> Iterator[Slide]:
    """Yield the figures of a code cell, with their alt texts."""
    for output in pictures(cell):
        png = output.data["image/png"]
        width, height = Image.open(BytesIO(base64.b64decode(png))).size
        rem = width * min(ENLARGED, WIDTH / width, HEIGHT / height) / REM
        alt = html.escape(output.metadata["image/png"]["alt"])
        image = f'<img src="data:image/png;base64,{png.strip()}" alt="{alt}"'
        yield Slide("figure", section, "", f'{image} style="width: {rem:.1f}rem">')


def pictures(cell: NotebookNode) -> list[NotebookNode]:
    """Return the outputs of a cell that are figures."""
    return [output for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]


def quiz(source: str, section: str) -> Iterator[Slide]:
    """Yield a question with its choices, and its answer."""
    question = re.sub(r"^\*\*(Question \d+)\.\*\*", "", source.partition("<details>")[0])
    name = inline(source.partition(".**")[0].removeprefix("**"))
    choices = CHOICE.findall(source)
    listed = "".join(f"<li>{inline(choice)}</li>" for choice, _, _ in choices)
    yield Slide("question", section, name, f"{block(question)}<ul>{listed}</ul>")
    [(choice, reason)] = [(c, reason) for c, verdict, reason in choices if verdict == "Right"]
    answer = f"**{choice}**\n\n{reason[0].upper()}{reason[1:]}"
    yield Slide("answer", section, f"{name}: answer", block(answer))


def block(markdown: str) -> str:
    """Render paragraphs as HTML without links: a deck is one file."""
    return to_html(LINK.sub(r"\1", markdown)).strip()


def inline(markdown: str) -> str:
    """Render a line as HTML without a paragraph."""
    line = re.sub(r"^(\d+)\.", r"\1\\.", markdown)  # not a list
    return block(line).removeprefix("<p>").removesuffix("</p>")

"""Write notebooks/pitfalls.md: every pitfall box of the notebooks, with its measurements."""

from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from tools.notebooks import NOTEBOOKS, find_notebooks, sections, title

INTRODUCTION = """# Pitfalls

Mistakes that popular tutorials make, each with the harm that the notebooks measured. This page
collects all Pitfall boxes of the course and their measurements; the code is in the notebooks.
(`python -m tools pitfalls` writes this page.)
"""


def boxes(nb: NotebookNode) -> list[tuple[int, str]]:
    """Return the position and the text of every Pitfall box."""
    cells = enumerate(nb.cells)
    return [(i, cell.source) for i, cell in cells if cell.source.startswith("> **Pitfall")]


def measured(nb: NotebookNode, position: int) -> str:
    """Return what the code cells below a box printed, up to the next text, or the cell above it."""
    below = []
    for cell in nb.cells[position + 1 :]:
        is_prompt = "Predict first" in cell.source and not cell.source.startswith("#")
        if cell.cell_type == "markdown" and not (is_prompt and not _printed(below)):
            break
        below.append(cell)
    return _printed(below) or _printed([*filter(_measures, nb.cells[:position])][-1:])


def _measures(cell: NotebookNode) -> bool:
    tags = cell.metadata.get("tags", ())
    return cell.cell_type == "code" and not any(tag.startswith("feedback-") for tag in tags)


def _printed(cells: list[NotebookNode]) -> str:
    outputs = [output for cell in filter(_measures, cells) for output in cell.outputs]
    texts = [text for output in outputs if (text := _text_of(output))]
    alts = [output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in outputs]
    return "\n".join(texts or filter(None, alts))


def _text_of(output: NotebookNode) -> str:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return "" if text.startswith("<") else text.rstrip()  # a figure has no text


def page() -> str:
    """Return the text of the page."""
    parts = [INTRODUCTION]
    for path in find_notebooks():
        nb = nbformat.read(path, as_version=4)
        parts.append(f"## {title(nb)}\n")
        headings = sections(nb)
        for position, text in boxes(nb):
            first, _, rest = text.partition("\n\n")
            name, _, why = first.removeprefix("> **Pitfall: ").partition("**")
            anchor = quote(headings[position].replace(" ", "-"), safe=".-,")
            where = f"[{path.stem[:2]}, section {headings[position]}]({path.name}#{anchor})"
            parts.append(f"### {name[0].upper()}{name[1:].rstrip('.')}\n\n{why.strip()}\n")
            if rest and "Predict first" not in rest:
                parts.append(f"{rest}\n")
            parts.append(f"```text\n{measured(nb, position)}\n```\n\n{where}\n")
    return "\n".join(parts)


def write_page() -> None:
    """Write the page."""
    (NOTEBOOKS / "pitfalls.md").write_text(page(), encoding="utf-8", newline="\n")

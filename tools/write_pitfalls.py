"""Write notebooks/pitfalls.md: every Pitfall box of the notebooks, with what it measured.

python tools/write_pitfalls.py
"""

import sys
from pathlib import Path
from urllib.parse import quote

import nbformat
from nbformat import NotebookNode

from tools.notebooks import sections, title

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
INTRODUCTION = """# Pitfalls

Mistakes that popular tutorials really make, each with the harm that it did when the notebooks ran
last. Here are all boxes of the course with their measurements; the code is in the notebooks. (This
page is written by `tools/write_pitfalls.py`.)
"""


def boxes(nb: NotebookNode) -> list[tuple[int, str]]:
    """Give the place and the text of every Pitfall box."""
    cells = enumerate(nb.cells)
    return [(i, cell.source) for i, cell in cells if cell.source.startswith("> **Pitfall")]


def measured(nb: NotebookNode, place: int) -> str:
    """Give what the cells below a box printed, up to the next text."""
    printed = []
    for cell in nb.cells[place + 1 :]:
        is_prompt = "Predict first" in cell.source and not cell.source.startswith("#")
        if cell.cell_type == "markdown" and not is_prompt:
            break
        tags = cell.metadata.get("tags", ())
        if cell.cell_type == "code" and not any(tag.startswith("feedback-") for tag in tags):
            printed += [text_of(output) for output in cell.outputs]
    return "\n".join(text for text in printed if text)


def text_of(output: NotebookNode) -> str:
    """Give an output as text; a figure has none."""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return "" if text.startswith("<") else text.rstrip()


def page() -> str:
    """Write the page."""
    parts = [INTRODUCTION]
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        parts.append(f"## {title(nb)}\n")
        headings = sections(nb)
        for place, text in boxes(nb):
            first, _, rest = text.partition("\n\n")
            name, _, why = first.removeprefix("> **Pitfall: ").partition("**")
            anchor = quote(headings[place].replace(" ", "-"), safe=".-,")
            where = f"[{path.stem[:2]}, section {headings[place]}]({path.name}#{anchor})"
            parts.append(f"### {name[0].upper()}{name[1:].rstrip('.')}\n\n{why.strip()}\n")
            if rest and "Predict first" not in rest:
                parts.append(f"{rest}\n")
            parts.append(f"```text\n{measured(nb, place)}\n```\n\n{where}\n")
    return "\n".join(parts)


def main() -> int:
    """Write the page."""
    (NOTEBOOKS / "pitfalls.md").write_text(page(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

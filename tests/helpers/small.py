"""Small notebooks for the tests."""

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.run import FOLDING


def code(source, *tags):
    return new_code_cell(source, metadata={"tags": list(tags)})


def folded(tag, source):
    cell = code(f"# @title {tag}\n{source}", "hide-input", tag)
    cell.metadata.update(FOLDING)
    return cell


def small_notebook(*more, number="91"):
    """Build a notebook as the course wants it; `more` are cells of its second section."""
    cells = [
        new_markdown_cell(
            f"# {number}. A small notebook\n\n"
            "Does the *machinery* work?\n\n"
            "**You will be able to**\n\n- run it,\n- read it,\n- test it.\n\n"
            "**Prerequisites:** none. **Time:** 1 minute on a two-core CPU."
        ),
        folded("setup", "import math"),
        folded("parameters", 'data = "cutouts"\nepochs = 3'),
        folded("imports", "import matplotlib.pyplot as plt"),
        new_markdown_cell("## 1. Computing"),
        code('print("epochs", epochs)\nprint("data", data)'),
        code('figure, axes = plt.subplots(figsize=(2, 1))\nplt.close(figure)\n'
             'alt = "An empty figure, which shows nothing at all"\n'
             'display(figure, metadata={"image/png": {"alt": alt}})'),
        new_markdown_cell("## 2. More"),
        *more,
        code('print("working ...")\nprint(f"accuracy {epochs / 4:.3f}")', "headline"),
        new_markdown_cell("## 3. Exercises\n\n1. Do it again."),
        new_markdown_cell("## 4. Recap\n\nIt works. Next: [another](92_broken.ipynb)."),
    ]  # fmt: skip
    nb = new_notebook(cells=cells)
    nb.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    nb.metadata["language_info"] = {"name": "python"}
    nb.metadata["course"] = {"minutes": 1, "tiny": {"epochs": 1}}
    return nb

"""Readable HTML of executed notebooks, and an index that links them; nothing in it is fetched."""

import html
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.paths import repository_root

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { --ink: #1c1f23; --paper: #fff; --quiet: #59636e; --line: #d5dae0; --tint: #f5f6f8;
  --link: #0b57d0; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #16181c;
  --quiet: #9aa4af; --line: #3a4048; --tint: #1f2227; --link: #8ab4f8; --bad: #f2b8b5; } }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 17px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 54rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
a { color: var(--link); }
h1, h2, h3 { line-height: 1.25; margin: 2em 0 .6em; }
h1 { margin-top: .6em; }
h2 { border-top: 1px solid var(--line); padding-top: .8em; }
code, pre { font: .85rem/1.5 ui-monospace, SFMono-Regular, Consolas, monospace; }
pre { margin: 0; padding: .7rem .9rem; overflow-x: auto; }
.highlight { background: var(--tint); border: 1px solid var(--line); border-radius: 6px;
  margin: 1rem 0 .4rem; }
.output_area pre, .output_html { border-left: 3px solid var(--line); margin: .4rem 0; }
.output_html { padding-left: .9rem; overflow-x: auto; }
.output_stderr pre, .output_error pre { border-color: var(--bad); }
img, svg { max-width: 100%; height: auto; }
.output_png img { background: #fff; border-radius: 6px; }
.prompt, .anchor-link { display: none; }
table { border: 0; border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
th, td { padding: .3rem .8rem; border: 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
.output_html td, .output_html th { text-align: right; }
blockquote { margin: 1.2rem 0; padding: .2rem 1rem; background: var(--tint);
  border-left: 4px solid #e69f00; }
details { margin: .4rem 0; padding: .1rem .9rem; border: 1px solid var(--line);
  border-radius: 6px; }
summary { cursor: pointer; }
.quiet { color: var(--quiet); font-size: .92rem; }
.failed { color: var(--bad); font-weight: 600; }
article { border-top: 1px solid var(--line); padding: .3rem 0; }
article h2 { border: 0; padding: 0; margin: .8rem 0 .2rem; font-size: 1.25rem; }
article p { margin: .3rem 0; }
"""


def write_html(nb: NotebookNode, target: Path) -> None:
    """Write a notebook as one HTML file that needs nothing else.

    Args:
        nb: The executed notebook.
        target: The file to write.
    """
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    from tools.notebooks import title

    body, _ = HTMLExporter(template_name="basic", exclude_anchor_links=True).from_notebook_node(nb)
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    colors = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"
    # The page's own tint lies behind the code, not the one of Pygments.
    style = f"{colors}\n{STYLE}\n.highlight {{ background: var(--tint); }}"
    back = '<p class="quiet"><a href="index.html">All notebooks</a></p>\n'
    body = back + _error_note(nb) + _link_pages(without_requests(body))
    write_page(target, title(nb) or target.stem, body, style)


def write_index(executed: Path, target: Path) -> None:
    """Write `index.html`, which links the HTML of all executed notebooks.

    Args:
        executed: The folder of the executed notebooks.
        target: The folder of the HTML files.
    """
    notebooks = [nbformat.read(path, as_version=4) for path in sorted(executed.glob("*.ipynb"))]
    names = [path.stem for path in sorted(executed.glob("*.ipynb"))]
    entries = [_entry(name, nb) for name, nb in zip(names, notebooks, strict=True)]
    body = "<h1>Image classification with PyTorch</h1>\n" + "\n".join(entries)
    body += '\n<p><a href="glossary.html">Glossary</a> · <a href="pitfalls.html">Pitfalls</a></p>'
    write_page(target / "index.html", "Image classification with PyTorch", body)
    for path in (repository_root() or Path.cwd()).glob("notebooks/*.md"):
        _write_text_page(path, target / f"{path.stem}.html")


def without_requests(body: str) -> str:
    """Put the alternative text in place of pictures that a browser would have to fetch."""

    def text(match: re.Match) -> str:
        alt = re.search(r'\balt="([^"]*)"', match.group())
        return alt.group(1) if alt else ""

    return re.sub(r'<img\b[^>]*\bsrc="(?:https?:)?//[^>]*>', text, body)


def _link_pages(body: str) -> str:
    """Let links to other notebooks, the glossary and the pitfalls lead to their pages."""
    return re.sub(r'(\bhref="(?:\d\d_\w+|glossary|pitfalls))\.(?:ipynb|md)\b', r"\1.html", body)


def write_page(target: Path, title: str, body: str, style: str = STYLE) -> None:
    """Write a page in the look of the course.

    Args:
        target: The file to write.
        title: Plain text.
        body: HTML.
        style: CSS.
    """
    page = PAGE.format(title=html.escape(title), style=style, body=body)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")


def _write_text_page(source: Path, target: Path) -> None:
    """Write a page of Markdown, whose headings can be linked, as HTML."""
    from nbconvert.filters import markdown2html

    text = source.read_text(encoding="utf-8")
    # Links follow GitHub, where the name of a heading has no capitals.
    body = re.sub(r'\bid="[^"]*"', lambda found: found.group().lower(), markdown2html(text))
    body = _link_pages(body)
    title = text.splitlines()[0].removeprefix("# ")
    write_page(
        target, title, f'<p class="quiet"><a href="index.html">All notebooks</a></p>\n{body}'
    )


def _error_note(nb: NotebookNode) -> str:
    error = nb.metadata.get("course", {}).get("run", {}).get("error")
    return f'<p class="failed">Failed at {html.escape(error)}</p>\n' if error else ""


def _entry(name: str, nb: NotebookNode) -> str:
    from nbconvert.filters import markdown2html

    from tools.notebooks import title

    run = nb.metadata.get("course", {}).get("run", {})
    status = (
        "ok"
        if run.get("ok")
        else f'<span class="failed">failed at {html.escape(run.get("error", ""))}</span>'
    )
    facts = f"{run.get('seconds', 0) / 60:.1f} minutes, {status}"
    result = f"<p>{html.escape(run['headline'])}</p>\n" if run.get("headline") else ""
    return (
        f'<article>\n<h2><a href="{name}.html">{html.escape(title(nb) or name)}</a></h2>\n'
        f"{without_requests(markdown2html(_first_paragraph(nb)))}\n{result}"
        f'<p class="quiet">{facts}</p>\n</article>'
    )


def _first_paragraph(nb: NotebookNode) -> str:
    """Give the first block of text below the title, in Markdown."""
    texts = (cell.source for cell in nb.cells if cell.cell_type == "markdown")
    blocks = (block.strip() for text in texts for block in re.split(r"\n\s*\n", text))
    return next((block for block in blocks if block and not block.startswith(("#", "[!", "<"))), "")

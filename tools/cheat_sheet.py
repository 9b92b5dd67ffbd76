"""Print docs/cheat_sheet.md as a PDF file of two A4 pages; needs Chromium."""

import re
from pathlib import Path

from jinja2 import Template
from pygments.formatters import HtmlFormatter

from tools.notebooks import ROOT
from tools.pages import TOOLS, to_html
from tools.screenshots import launched

SOURCE = ROOT / "docs" / "cheat_sheet.md"
TITLE = "Cheat sheet: image classification with PyTorch"


def page() -> str:
    """Return the cheat sheet as one HTML page for printing, without links."""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", SOURCE.read_text("utf-8"))
    text = text.replace("# Cheat sheet", f"# {TITLE}", 1)
    template = Template((TOOLS / "cheat_sheet.html.j2").read_text("utf-8"))
    return template.render(
        title=TITLE,
        highlighting=HtmlFormatter().get_style_defs(".highlight"),
        body=to_html(text),
    )


def print_pdf(target: Path) -> None:
    """Print the cheat sheet."""
    with launched() as browser:
        sheet = browser.new_page()
        sheet.set_content(page())
        sheet.pdf(path=target, prefer_css_page_size=True, print_background=True, tagged=True)

"""The command lines of the documents."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "TEACHING.md", "CONTRIBUTING.md", "docs/cheat_sheet.md")


def commands():
    """Return every command line of the documents in order: those in blocks, then the others."""
    paths = [*(ROOT / name for name in NAMES), *sorted((ROOT / "teaching").glob("*.md"))]
    pages = "\n".join(path.read_text("utf-8") for path in paths)
    pages = re.sub(r"^```python\n.*?^```$", "", pages, flags=re.DOTALL | re.MULTILINE)
    blocks = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks.findall(pages) for line in block.splitlines()]
    lines += re.findall(r"`((?:make|python|pytest) [^`]+)`", blocks.sub("", pages))
    found = [line for line in lines if re.match(r"\S*(?:make|python|py|conda)\b", line)]
    return list(dict.fromkeys(found))

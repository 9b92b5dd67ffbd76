"""Everything that people read uses the field's words, not only the notebooks."""

from pathlib import Path

import pytest

from tools.style import foreign_phrases

ROOT = Path(__file__).resolve().parents[2]
LIST = ROOT / "tools" / "style.py"
FOLDERS = (
    "course_utils",
    "course_exercises",
    "image_classifier",
    "tools",
    "benchmarks",
    "solutions",
    "teaching",
)
FILES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".md", ".j2", ".toml") and path != LIST
]
FILES += [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob("docs/*.md")]
FILES += sorted((ROOT / ".github").rglob("*.*"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_words_of_the_field(path):
    found = [
        f"line {number}: {phrase}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        for phrase in foreign_phrases(line)
    ]
    assert not found

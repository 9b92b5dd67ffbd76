"""The code of the cheat sheet runs; the code of the errors raises the messages that it quotes."""

import re
import subprocess
import sys
import warnings

import pytest
from documents import ROOT

ERRORS = (ROOT / "docs" / "errors.md").read_text("utf-8")
IMPORTS, *ENTRIES = re.split(r"^### ", ERRORS, flags=re.MULTILINE)


def blocks(text):
    """The blocks of code and of messages in a text: pairs of kind and content."""
    return re.findall(r"^```(python|text)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(code, names):
    """Run code as a notebook does; return its error as the last line of a traceback, or ''."""
    try:
        exec(compile(code, "page", "exec"), names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run_script(code):
    """Run code as a script; return what it writes to stderr."""
    with open("train.py", "w", encoding="utf-8") as file:
        file.write(code)
    return subprocess.run([sys.executable, "train.py"], capture_output=True, text=True).stderr


def contains(said, quoted):
    """Whether a message contains a quotation, in which … stands for any text."""
    pieces = [re.escape(" ".join(piece.split())) for piece in quoted.split("…")]
    return re.search(".*".join(pieces), " ".join(said.split()))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.partition("\n")[0])
def test_the_code_raises_the_quoted_error(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    assert run(blocks(IMPORTS)[0][1], names) == ""
    found = blocks(entry)
    for (kind, code), (following, quoted) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "text":
            continue
        if following != "text":  # a fix
            assert run(code, names) == ""
            continue
        if sys.platform == "win32" and "[Errno 2]" in quoted:
            pytest.skip("Windows describes a missing folder in its own words")
        with warnings.catch_warnings(action="error" if "Warning: " in quoted else "ignore"):
            said = run_script(code) if code.startswith("# train.py") else run(code, names)
        assert contains(said, quoted), said


def test_there_is_one_heading_per_entry():
    heads = [entry.partition("\n")[0] for entry in ENTRIES]
    assert len(set(heads)) == len(heads) > 30

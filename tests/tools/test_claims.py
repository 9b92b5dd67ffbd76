"""Claims are checked inside their notebook, with every seed."""

from pathlib import Path

import nbformat
import pytest
from small import code

from tools import claims
from tools.__main__ import main

FILE = """
from tools.claims import claim

@claim(after="computed")
def doubled(twice, seed):
    '''The double is even.'''
    assert twice == 2 * seed

@claim(after="computed")
def small(twice):
    '''It is small.'''
    assert twice < 4
"""


@pytest.fixture
def claimed(course, tmp_path, monkeypatch):
    """A notebook with two claims, of which one does not hold for large seeds."""
    path = course("91_small")
    nb = nbformat.read(path, as_version=4)
    for place, cell in enumerate((code("twice = 2 * seed"), code("twice = None"))):
        cell.id = ("computed", "later")[place]
        nb.cells.insert(5 + place, cell)
    nb.cells[2].source += "\nseed = 0"
    for place, source in enumerate(("print(seed + 1)", "print(seed)  # nbval-ignore-output")):
        cell = code(source)
        cell.id = ("compared", "not-compared")[place]
        cell.outputs = [nbformat.v4.new_output("stream", text="5\n")]
        nb.cells.append(cell)
    nbformat.write(nb, path)
    folder = tmp_path / "claims"
    folder.mkdir()
    (folder / "91_small.py").write_text(FILE, encoding="utf-8")
    monkeypatch.setattr(claims, "CLAIMS", folder)
    monkeypatch.setenv("PYTHONPATH", str(Path(claims.__file__).parents[1]))
    return path


@pytest.mark.long
def test_a_table_shows_which_claims_hold_with_which_seed(claimed, capsys):
    """With the default seed, outputs that differ from the stored ones are named."""
    before = claimed.read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["claims", "--seeds", "0 2"])
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert ["91", "doubled", "ok", "ok"] in [line.split() for line in lines]
    assert ["91", "small", "ok", "FAILED"] in [line.split() for line in lines]
    assert "91 small, seed 2: AssertionError  in 'assert twice < 4', with twice = 4" in printed
    [line] = [line for line in lines if line.startswith("91 stored outputs, seed ")]
    assert line.startswith("91 stored outputs, seed 0: ")
    assert line.endswith(" compared")  # after those of the cells that have no stored output
    assert claimed.read_bytes() == before


@pytest.mark.long
def test_a_claim_that_is_not_reached_does_not_hold(claimed, capsys):
    nb = nbformat.read(claimed, as_version=4)
    nb.cells[3].source = "1 / 0"
    nbformat.write(nb, claimed)
    with pytest.raises(SystemExit) as ended:
        main(["claims"])
    assert ended.value.code == 1
    assert "91 doubled, seed 0: was not reached" in capsys.readouterr().out


def test_seeds_are_numbers(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["claims", "--seeds", "one"])
    assert ended.value.code == 2
    assert "--seeds must be numbers" in capsys.readouterr().err

"""The curves of the website's game are those of notebook 04."""

import json
import re

import pytest

from tools.curves import FILE, compute_curves
from tools.notebooks import ROOT


def written():
    """The data of the game."""
    return json.loads(FILE.read_text("utf-8").partition("CURVE_GAME = ")[2].rstrip(";\n"))


def test_each_failure_mode_has_four_curves_and_a_diagnosis():
    game = written()
    names = [curve["name"] for curve in game["curves"]]
    script = (ROOT / "docs" / "_static" / "curve_game.js").read_text("utf-8")
    diagnoses = re.findall(r'^  "(.+)": \[$', script, re.MULTILINE)
    assert len(diagnoses) >= 12
    assert sorted(names) == sorted(4 * diagnoses)
    assert all(len(curve["train"]) <= game["epochs"] for curve in game["curves"])


@pytest.mark.long
def test_the_notebook_computes_what_the_game_shows():
    parameters = {"max_images": 60, "gallery_epochs": 2, "epochs": 1, "long_epochs": 1}
    [computed] = compute_curves([1], parameters)
    assert set(computed["runs"]) == {curve["name"] for curve in written()["curves"]}
    assert computed["epochs"] == 2
    healthy = computed["runs"]["healthy"]
    assert len(healthy["train"]) == len(healthy["val"]) == 2
    assert re.fullmatch(r"\d\.\d\d, \d\.\d\d, \d\.\d\d", healthy["accuracies"])

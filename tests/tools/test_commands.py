"""Every command of the documents works, as far as no other test runs it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from copies import copy_course
from documents import ROOT, commands

from tools.editions import solved
from tools.notebooks import read_answers

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"
# Commands that need an hour, a download or another program, and those that another test runs.
NOT_RUN = {
    "-m pip install -r requirements.txt": "installation",
    '-m pip install --no-index --find-links ../packages "course-utils[course,deploy,solar]"': (
        "gigabytes"
    ),
    "-m pip wheel -r requirements.txt -w ../packages": "gigabytes",
    "-m pip wheel --no-deps --wheel-dir dist .": "test_set_up.py",
    '-m pip install --upgrade --editable ".[course,deploy,site,solar,test]"': "gigabytes",
    "-m pytest -n 2 --maxschedchunk 1": "this is one of the tests",
    "-m pytest tests/tools/test_readme.py tests/tools/test_docs.py": "these are tests",
    "-m pytest tests/course_utils/test_health.py": "this is a test",
    "-m pytest --nbval --nbval-current-env notebooks": "a job of .github/workflows/tests.yml",
    '-m tools claims --seeds "0 1 2 3 4"': "tests/claims runs one seed",
    '-m tools claims --seeds "0 1 2 3 4" 04': "tests/claims runs one seed",
    "-m tools screenshots": "minutes; test_screenshots.py runs parts",
    "-m tools curves": "minutes; test_curves.py runs a small one",
    "-m benchmarks.fine_tuning": "an hour; test_fine_tuning.py runs parts",
    "-m benchmarks --only solar": "half an hour; test_benchmarks.py runs parts",
    "-m benchmarks": "half an hour; test_benchmarks.py runs parts",
    "-m jupyter lab notebooks": "test_no_network.py",
    "-m tensorboard.main --logdir build/06/logs --samples_per_plugin images=200": (
        "test_no_network.py"
    ),
    "-m tensorboard.main --logdir logs": "test_no_network.py",
    "-m image_classifier app build/model/model.pt": "test_app.py",
    "-m image_classifier export build/model/model.pt": "test_export.py; test_notebooks.py (09)",
    "-m ruff check .": "a job of .github/workflows/tests.yml",
    "-m ruff format --check .": "a job of .github/workflows/tests.yml",
    "-m tools site": "test_site.py",
    "-m tools execute": "test_run_notebooks.py",
    "-m tools student": "test_editions.py",
    "-m tools instructor": "test_editions.py",
    "-m tools slides": "test_slides.py",
    "-m tools lint": "test_lint_notebooks.py; a job of .github/workflows/tests.yml",
    "-m tools run": "test_run_notebooks.py",
    "-m tools run 01 02 03 05": "test_run_notebooks.py",
    "-m tools run --only 02": "test_run_notebooks.py",
    "-m tools run --only 02 -p epochs 3": "test_run_notebooks.py",
    "-m tools run --tiny --jobs 2": "test_run_notebooks.py",
    "-m tools run --only 11 -p patch_size 4": "test_run_notebooks.py",
    "-m tools run --only 01 -p data path/to/photos": "test_run_notebooks.py, test_notebooks.py",
}
FROM_MAKE = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
SHORTER = {
    "-m image_classifier train build/prepared": "--image-size 64",
}
# Runs commands in one process, so that torch is imported once; prints [command, status] lines.
DRIVER = """
import json, runpy, sys, traceback

for line, words in json.loads(sys.argv[1]):
    sys.argv = words[1:]
    try:
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
        status = 1
    print(f"\\n== {json.dumps([line, status])}", flush=True)
"""


def python_commands():
    """The commands that start a module, from `-m` on."""
    found = [re.match(r"\S*python (-m .+)", line) for line in commands() if "\\" not in line]
    return list(dict.fromkeys(match[1] for match in found if match))


@pytest.fixture
def checkout(tmp_path):
    """A copy of the course with the files that the commands name."""
    folder = copy_course(tmp_path / "course")
    shutil.copytree(PHOTOS, folder / "path/to/photos")
    shutil.copytree(PHOTOS, folder / "path/to/other/photos")
    for name, path in zip(("one.jpg", "two.jpg"), sorted(PHOTOS.rglob("*.jpg")), strict=False):
        shutil.copy(path, folder / name)
    (folder / "FOLDER").mkdir()
    stem = "00_pytorch_in_an_hour"
    answers = read_answers(ROOT / "solutions" / f"{stem}.py")
    answers["00.1"] = "def distances(a, b):\n    return a - b"
    nb = solved(nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", 4), answers)
    nbformat.write(nb, folder / "FOLDER" / "ada.ipynb")
    gradebook = "Student,ID,Section,Notebook 00 (7)\nada,1,A,\n"
    (folder / "EXPORTED.csv").write_text(gradebook, "utf-8")
    return folder


@pytest.mark.thorough
def test_every_python_command_works(checkout):
    lines = [line for line in python_commands() if line not in NOT_RUN]
    jobs = [(line, shlex.split(f"{line} {SHORTER.get(line, '')}")) for line in lines]
    environment = {key: value for key, value in os.environ.items() if key != "COURSE_OUTPUT"}
    environment |= {"PYTHONPATH": str(checkout), "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(jobs)],
        cwd=checkout,
        env=environment,
        text=True,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
    )
    ended = [json.loads(line[3:]) for line in done.stdout.splitlines() if line.startswith("== ")]
    assert [line for line, _ in ended] == lines, done.stdout[-3000:]
    assert {line: status for line, status in ended if status} == {}, done.stdout[-3000:]
    # One of the four answers of the notebook that was graded is wrong.
    gradebook = (checkout / "build" / "grades" / "gradebook.csv").read_text("utf-8")
    assert gradebook.splitlines()[1] == "ada,1,A,3", done.stdout[-3000:]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_runs_the_documented_commands():
    known = {tuple(shlex.split(line)) for line in python_commands()}
    known.add(tuple(shlex.split("-m pytest -n 2 --maxschedchunk 1 -m thorough")))
    known.add(tuple(shlex.split("-m tools execute 08")))
    for line in commands():
        if not line.startswith("make ") or line == "make clean":
            continue
        dry_run = [
            "make",
            "--no-print-directory",
            "--dry-run",
            "--assume-old",
            ".venv/.ready",
            *shlex.split(line)[1:],
        ]
        # Without the ARGS of a `make test` that runs this test.
        env = {name: value for name, value in os.environ.items() if name not in FROM_MAKE}
        options = {"cwd": ROOT, "env": env, "capture_output": True, "text": True, "check": True}
        said = subprocess.run(dry_run, **options).stdout
        recipes = [tuple(shlex.split(recipe)) for recipe in said.splitlines()]
        assert recipes
        for python, *words in recipes:
            assert python == ".venv/bin/python"
            assert tuple(words) in known, line


def test_no_command_is_listed_in_vain():
    assert set(NOT_RUN) | set(SHORTER) <= set(python_commands())

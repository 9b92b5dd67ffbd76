"""Running notebooks: results, files, HTML, parameters, failures, stopping."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest
from joblib import cpu_count
from small import code, small_notebook

from course_utils.errors import CourseError
from tools import notebooks
from tools.__main__ import main
from tools.run import Run, run_notebooks


def status(*arguments):
    """The exit status of `python -m tools`."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def read(path):
    return nbformat.read(path, as_version=4)


def printed(path):
    """Everything that an executed notebook printed."""
    outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


def test_one_failure_does_not_stop_the_others(course, tmp_path, capfd, monkeypatch):
    """Three notebooks run two at a time, although Jupyter knows another environment's "python3"."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    wrong = {"argv": ["no-such-python", "{connection_file}"], "display_name": "", "language": ""}
    (spec / "kernel.json").write_text(json.dumps(wrong))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    course("91_good", code("1 / 0", "raises-exception"))
    course("92_broken", code("raise ValueError('too small\\nby far')"), code("print('never')"))
    places = "os.environ['OPENBLAS_NUM_THREADS'], os.getcwd(), sys.executable"
    course("93_good", code(f"import os, sys\nprint({places})"))
    assert status("run", "--jobs", "2") == 1
    out, err = capfd.readouterr()
    # libzmq can fail an assertion in a kernel that is shut down, after its last cell.
    assert not [line for line in err.splitlines() if "(src/signaler.cpp:" not in line]
    error = "cell 6/8 (2. More): ValueError: too small"
    assert f"92_broken: failed at {error} (" in out
    table = [re.split(r"\s{2,}", line) for line in out.splitlines() if re.match(r"9\d_\w+ ", line)]
    assert [[name, ended, last] for name, ended, _, last in table] == [
        ["91_good", "ok", "accuracy 0.750"],
        ["92_broken", "failed", error],
        ["93_good", "ok", "accuracy 0.750"],
    ]
    assert not re.search(r"[\r\x1b]", out)  # no progress bar without a terminal
    executed = tmp_path / "output" / "executed"
    threads = max(1, cpu_count() // 2)
    assert f"{threads} {tmp_path} {sys.executable}\n" in printed(executed / "93_good.ipynb")
    assert "never" not in printed(executed / "92_broken.ipynb")
    assert "ValueError" in (executed / "92_broken.ipynb").read_text("utf-8")
    check_html(tmp_path / "output" / "html")


def check_html(folder):
    """The pages are complete and request nothing."""
    index = (folder / "index.html").read_text("utf-8")
    for name in ("91_good", "92_broken", "93_good"):
        assert f'<a href="{name}.html">{name[:2]}. A small notebook</a>' in index
        page = (folder / f"{name}.html").read_text("utf-8")
        assert 'alt="An empty figure, which shows nothing at all"' in page
        assert '<a href="92_broken.html">another</a>' in page
        for text in (index, page):
            assert not re.search(r"<script|<link|@import", text)
            loaded = re.findall(r"""\bsrc=["']?([^"'\s>]*)|url\(["']?([^"')]*)""", text)
            assert all(
                address.startswith("data:") for pair in loaded for address in pair if address
            )
    assert "accuracy 0.750" in index
    assert "failed at cell 6/8 (2. More): ValueError: too small" in index


def test_parameters_come_from_the_command_line_and_the_index_keeps_earlier_runs(course, tmp_path):
    path = course("91_one")
    course("92_two")
    assert notebooks.tiny_parameters(read(path)) == {"epochs": 1}
    values = ["-p", "data", "2024", "--output", "mine", "-p", "epochs", "2"]
    assert status("run", "--only", "91", "--tiny", *values) == 0
    text = printed(tmp_path / "mine" / "executed" / path.name)
    assert "data 2024\n" in text
    assert "accuracy 0.500" in text
    assert status("run", "92", "--tiny", "--output", "mine") == 0
    assert "accuracy 0.250" in printed(tmp_path / "mine" / "executed" / "92_two.ipynb")
    index = (tmp_path / "mine" / "html" / "index.html").read_text("utf-8")
    assert "91_one.html" in index and "92_two.html" in index


def with_parameters(source):
    nb = small_notebook()
    notebooks.tagged(nb, "parameters").source = source
    return nb


@pytest.mark.parametrize(
    ("default", "text", "expected"),
    [
        ("True", "false", False),
        ("True", "False", False),
        ("False", "true", True),
        ("3", "7", 7),
        ("0.1", "1e-3", 0.001),
        ("0.1", "1", 1),
        ('"cutouts"', "2024", "2024"),
        ('"cutouts"', "false", "false"),
        ("[8]", "[8, 16]", [8, 16]),
        ('["a"]', '["große Vögel", "Autos & more"]', ["große Vögel", "Autos & more"]),
        ("None", "Shirt", "Shirt"),
        ("None", "None", None),
        ("None", "no", "no"),
    ],
)
def test_text_becomes_a_value_of_the_defaults_type(default, text, expected):
    nb = notebooks.set_parameters(with_parameters(f"x = {default}"), {"x": text})
    names = {}
    exec(notebooks.tagged(nb, "injected-parameters").source, names)
    assert names["x"] == expected
    assert type(names["x"]) is type(expected)


@pytest.mark.parametrize(
    ("default", "text", "kind"),
    [("True", "1", "bool"), ("3", "three", "int"), ("3", "true", "int"), ("[8]", "8", "list")],
)
def test_a_value_of_another_type_is_refused(default, text, kind):
    with pytest.raises(CourseError, match=f"x must be of type {kind}, not '{text}'"):
        notebooks.set_parameters(with_parameters(f"x = {default}"), {"x": text})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["-p", "epoch", "3"],
            "'91. A small notebook' has no parameter 'epoch'; it has data, epochs.\n",
        ),
        (["--only", "05"], "There is no notebook '05'; the notebooks are: 91_small, 92_other.\n"),
    ],
)
def test_a_wrong_request_gets_one_sentence(course, capsys, arguments, sentence):
    course(), course("92_other")
    assert status("run", *arguments) == 2
    assert capsys.readouterr() == ("", sentence)


def test_notebooks_are_chosen_by_number_or_name(course):
    course("92_other"), course("91_small"), course("93_third")
    assert [p.stem for p in notebooks.find_notebooks()] == ["91_small", "92_other", "93_third"]
    chosen = notebooks.find_notebooks(["93", "notebooks/91_small.ipynb"])
    assert [p.stem for p in chosen] == ["91_small", "93_third"]


def test_a_slow_cell_and_a_dead_kernel_fail(course, tmp_path):
    slow = Run(course("91_slow"), small_notebook(code("import time\ntime.sleep(60)")), timeout=5)
    dead = Run(course("92_dead"), small_notebook(code("import os\nos._exit(3)")))
    run_notebooks([slow, dead], tmp_path, jobs=2)
    assert slow.error == "cell 6/7 (2. More): took longer than 5 seconds"
    assert dead.error.startswith("cell 6/7 (2. More): Kernel died")


def test_kernels_share_the_cores_unless_the_environment_says_otherwise(monkeypatch):
    for name in notebooks.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    environment = notebooks.kernel_environment(2)
    assert environment["OMP_NUM_THREADS"] == "5"
    assert environment["MKL_NUM_THREADS"] == "2"
    assert environment["COURSE_PROGRESS"] == "off"
    assert "MKL_NUM_THREADS" not in notebooks.kernel_environment()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_the_kernels(course, tmp_path):
    pid = tmp_path / "pid"
    sleep = f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
    path = course("91_small", code(sleep + "\ntime.sleep(60)"))
    program = (
        "import signal, pathlib, tools.notebooks\n"
        # A process that was started in the background ignores Ctrl-C, and so do its children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"tools.notebooks.NOTEBOOKS = pathlib.Path({str(path.parent)!r})\n"
        "from tools.__main__ import main\nmain(['run'])"
    )
    command = [sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(notebooks.ROOT)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, **options)
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "Stopped.\n")
    assert not (tmp_path / "output" / "executed" / path.name).exists()  # earlier results stay
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_list_of_notebooks(course, capsys):
    course()
    status("list")
    assert capsys.readouterr().out == "91. A small notebook (1 min)\n"


def test_an_unknown_dataset_gets_one_sentence(capsys):
    assert status("get", "no-such-set") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no-such-set" in err


def test_help_does_not_load_torch():
    program = (
        "import sys\nfrom tools.__main__ import main\n"
        "try:\n    main(['run', '--help'])\n"
        "except SystemExit:\n    print({'torch', 'nbclient'} & set(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=notebooks.ROOT)
    assert "--tiny" in done.stdout
    assert done.stderr == "set()\n"


def test_executing_in_place_is_deterministic_and_writes_nothing_of_a_failure(course, capsys):
    broken, path = course("91_broken", code("1 / 0")), course("92_small")
    unchanged, before = broken.read_bytes(), read(path)
    assert status("execute") == 1
    assert "91_broken: failed at cell 6/7 (2. More): ZeroDivisionError" in capsys.readouterr().out
    assert broken.read_bytes() == unchanged
    first = path.read_bytes()
    assert status("execute", "92") == 0
    assert path.read_bytes() == first
    nb = read(path)
    assert [cell.id for cell in nb.cells] == [cell.id for cell in before.cells]
    tags = [[cell.metadata.get("tags") for cell in n.cells] for n in (before, nb)]
    assert tags[0] == tags[1]
    assert nb.metadata.course == {"minutes": 1, "tiny": {"epochs": 1}}
    assert "version" not in nb.metadata.language_info
    assert "accuracy 0.750" in printed(path)

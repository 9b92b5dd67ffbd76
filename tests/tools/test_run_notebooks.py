"""Running notebooks: results, files, HTML, parameters, failures, stopping."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
from small import code

from image_classifier.__main__ import main
from tools import notebooks as module
from tools.html import without_requests
from tools.notebooks import Options, Result, Run, RunError, run_all, run_notebook

ROOT = Path(__file__).resolve().parents[2]


def printed(path):
    """Everything that an executed notebook printed."""
    nb = nbformat.read(path, as_version=4)
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture
def ran(course, tmp_path, capfd):
    """Three notebooks run two at a time, of which the second fails."""
    course("91_good", code("1 / 0", "raises-exception"))
    course("92_broken", code("raise ValueError('too small\\nby far')"), code("print('never')"))
    course("93_good", code("import os\nprint(os.environ['OMP_NUM_THREADS'], os.getcwd())"))
    status = main(["run", "--jobs", "2"])
    return status, tmp_path / "output", capfd.readouterr()


def test_one_failure_does_not_stop_the_others(ran, tmp_path):
    status, output, (out, err) = ran
    assert status == 1
    assert err == ""
    assert "92_broken: failed at cell 5/7 (2. More): ValueError: too small (" in out
    table = [re.split(r"\s{2,}", line) for line in out.splitlines() if re.match(r"9\d_\w+ ", line)]
    assert [row[:2] for row in table] == [
        ["91_good", "ok"],
        ["92_broken", "failed"],
        ["93_good", "ok"],
    ]
    assert table[0][-1] == "accuracy 0.750"
    assert not re.search(r"[\r\x1b]", out)  # this is no terminal
    assert str(tmp_path) in printed(output / "executed" / "93_good.ipynb")
    assert "never" not in printed(output / "executed" / "92_broken.ipynb")


def test_the_half_run_notebook_keeps_its_error(ran):
    nb = nbformat.read(ran[1] / "executed" / "92_broken.ipynb", as_version=4)
    errors = [o for cell in nb.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert [error.ename for error in errors] == ["ValueError"]
    assert nb.metadata.course.run.ok is False


def test_the_html_is_complete_and_fetches_nothing(ran):
    folder = ran[1] / "html"
    index = (folder / "index.html").read_text("utf-8")
    for name in ("91_good", "92_broken", "93_good"):
        assert f'<a href="{name}.html">{name[:2]}. A small notebook</a>' in index
        page = (folder / f"{name}.html").read_text("utf-8")
        assert 'alt="An empty figure, which shows nothing at all"' in page
        assert '<a href="92_broken.html">another</a>' in page
        assert "<script" not in page
        assert "<link" not in page
        sources = re.findall(r'\bsrc="([^"]*)"', page)
        assert sources
        assert all(source.startswith("data:") for source in sources)
    assert "Does the <em>machinery</em> work?" in index
    assert "accuracy 0.750" in index
    assert "failed at cell 5/7 (2. More): ValueError: too small" in index


def test_pictures_from_elsewhere_become_their_text():
    body = '<a href="https://x.org"><img alt="Open it" src="https://x.org/a.svg"></a><img src="a">'
    assert without_requests(body) == '<a href="https://x.org">Open it</a><img src="a">'


def test_parameters_are_read_as_the_notebook_has_them(course, tmp_path):
    path = course()
    options = Options(tmp_path, parameters={"data": "2024", "epochs": "2"})
    assert run_notebook(path, options).headline == "accuracy 0.500"
    assert "data 2024\n" in printed(tmp_path / "executed" / path.name)
    assert module.prepare(path, options).metadata.course.run.parameters == {
        "data": "2024",
        "epochs": 2,
    }


def test_tiny_comes_from_the_metadata_and_can_be_overridden(course):
    path = course()
    tiny = module.prepare(path, Options(tiny=True))
    assert tiny.metadata.course.run.parameters == {"epochs": 1}
    both = module.prepare(path, Options(tiny=True, parameters={"epochs": "7"}))
    assert both.metadata.course.run.parameters == {"epochs": 7}
    injected = [cell for cell in both.cells if "injected-parameters" in cell.metadata.tags]
    assert "epochs = 7" in injected[0].source


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "epoch", "3"], "91_small has no parameter 'epoch'; it has data, epochs.\n"),
        (["--only", "05"], "There is no notebook '05'; there are 91_small, 92_other.\n"),
    ],
)
def test_a_wrong_wish_gets_one_sentence(course, capsys, arguments, sentence):
    course()
    course("92_other")
    assert main(["run", *arguments]) == 2
    assert capsys.readouterr() == ("", sentence)


def test_notebooks_are_chosen_by_number_or_name(course):
    course("92_other"), course("91_small"), course("93_third")
    assert [p.stem for p in module.find_notebooks()] == ["91_small", "92_other", "93_third"]
    chosen = module.find_notebooks(["93", "notebooks/91_small.ipynb"])
    assert [p.stem for p in chosen] == ["91_small", "93_third"]


def test_no_notebooks_at_all(course):
    with pytest.raises(RunError, match="There are no notebooks in"):
        module.find_notebooks()


def test_a_slow_cell_and_a_dead_kernel_fail(course, tmp_path):
    slow = course("91_slow", code("import time\ntime.sleep(60)"))
    dead = course("92_dead", code("import os\nos._exit(3)"))
    results = run_all([slow, dead], Options(tmp_path, timeout=10, jobs=2))
    assert [result.ok for result in results] == [False, False]
    assert results[0].error == "cell 5/6 (2. More): took longer than 10 seconds"
    assert results[1].error.startswith("cell 5/6 (2. More): Kernel died")
    assert results[0].seconds < 50


def test_the_kernel_is_this_interpreter(course, tmp_path, monkeypatch):
    """Also where Jupyter knows a "python3" of another environment."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    wrong = {"argv": ["no-such-python", "{connection_file}"], "display_name": "", "language": ""}
    (spec / "kernel.json").write_text(json.dumps(wrong))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    path = course("91_small", code("import sys\nprint(sys.executable)"))
    assert run_notebook(path, Options(tmp_path)).ok
    assert sys.executable in printed(tmp_path / "executed" / path.name)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
@pytest.mark.parametrize(("folder", "transport"), [("short", "ipc"), ("too long" * 12, "tcp")])
def test_kernels_that_start_together_cannot_take_each_others_ports(
    course, tmp_path, monkeypatch, folder, transport
):
    if folder != "short":
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / folder))
    source = "from ipykernel.connect import get_connection_info\nprint(get_connection_info())"
    path = course("91_small", code(source))
    assert run_notebook(path, Options(tmp_path)).ok
    assert f'"transport": "{transport}"' in printed(tmp_path / "executed" / path.name)


def test_the_time_left_is_learnt_from_the_last_run(course, tmp_path):
    path = course("91_small", code("import time\ntime.sleep(1)"))
    options = Options(tmp_path)
    first = Run(path, options)
    assert first.seconds_left() == pytest.approx(60)  # the metadata says one minute
    assert Run(path, Options(tmp_path, tiny=True)).seconds_left() == pytest.approx(7)  # cells
    first.run()
    assert first.seconds_left() == 0
    second = Run(path, options)
    assert 1 <= second.seconds_left() < 20
    assert second.expected[first.code[4]] >= 1
    assert Run(path, Options(tmp_path, tiny=True)).seconds_left() == pytest.approx(7)


def test_the_time_left_follows_a_slower_machine(course, tmp_path):
    run = Run(course(), Options(tmp_path))
    run.expected = [10.0] * len(run.expected)
    run.seconds[0], run.current = 20.0, 0
    run.cell_start = time.monotonic() - 100
    whole = sum(run.expected)
    speed = (whole + 20) / (whole + 10)  # one cell took 20 seconds instead of 10
    assert module._seconds_left([run], jobs=1) == pytest.approx(speed * (whole - 10))


def test_progress_on_a_terminal_is_one_line(course, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    run_all([course("91_small", code("import time\ntime.sleep(1.5)"))], Options(tmp_path))
    text = terminal.getvalue()
    assert re.search(r"\r(1 min )?\d+ s left: 91 cell 5/6 \(2\. More\)", text)
    assert "\x1b" not in text
    assert text.count("\n") == 2  # started, done
    assert text.endswith("s)\n")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_the_kernels(course, tmp_path):
    pid = tmp_path / "pid"
    sleep = f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
    path = course("91_small", code(sleep + "\ntime.sleep(60)"))
    program = (
        "import signal, sys, pathlib, tools.notebooks as run\n"
        # A process that was started in the background ignores Ctrl-C, and so do its children.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"run.repository = lambda: pathlib.Path({str(path.parents[1])!r})\n"
        "from image_classifier.__main__ import main\nsys.exit(main(['run']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Stopped.\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_table_of_results():
    table = module.summary([Result("01_a", True, 90, "accuracy 0.9", "", 512)])
    assert table.splitlines()[2].split() == [
        *("01_a", "ok", "1.5", "512", "MiB", "accuracy", "0.9"),
    ]


def test_the_list_of_notebooks(course, capsys):
    course()
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split("  ")[0] == "91"


def test_an_unknown_set_gets_one_sentence(capsys):
    assert main(["data", "get", "no-such-set"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "no-such-set" in err


def test_help_does_not_load_torch():
    program = (
        "import sys\nfrom image_classifier.__main__ import main\n"
        "try:\n    main(['run', '--help'])\n"
        "except SystemExit:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "--tiny" in done.stdout
    assert done.stderr == "False\n"


def execute_in_place(path, *names):
    program = (
        "import sys, runpy, pathlib, tools.notebooks as run\n"
        f"run.repository = lambda: pathlib.Path({str(path.parents[1])!r})\n"
        f"sys.argv = ['execute_notebooks.py', {', '.join(map(repr, names))}]\n"
        f"runpy.run_path({str(ROOT / 'tools' / 'execute_notebooks.py')!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_executing_in_place_is_deterministic(course):
    path = course()
    nb = nbformat.read(path, as_version=4)
    ids, tags = [c.id for c in nb.cells], [c.metadata.get("tags") for c in nb.cells]
    assert execute_in_place(path).returncode == 0
    first = path.read_bytes()
    assert execute_in_place(path, "91").returncode == 0
    assert path.read_bytes() == first
    nb = nbformat.read(path, as_version=4)
    assert [cell.id for cell in nb.cells] == ids
    assert [cell.metadata.get("tags") for cell in nb.cells] == tags
    assert nb.metadata.course == {"minutes": 1, "tiny": {"epochs": 1}}
    assert "version" not in nb.metadata.language_info
    assert "accuracy 0.750" in printed(path)


def test_executing_in_place_writes_nothing_of_a_failure(course):
    path = course("91_small", code("1 / 0"))
    before = path.read_bytes()
    done = execute_in_place(path)
    assert done.returncode == 1
    assert "91_small: failed, not written" in done.stderr
    assert path.read_bytes() == before

"""Downloads from a server on this machine that misbehaves in every way that servers do."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_utils.data import DataError, catalog, download
from course_utils.data.download import Source, fetch

CONTENT = bytes(range(256)) * 4000  # about a megabyte
PATIENCE = 30  # seconds until a test gives up on another process


class Server(ThreadingHTTPServer):
    """Serves `content`; `script` holds functions that answer the next requests instead."""

    content = CONTENT
    ranges = True  # whether it can go on in the middle

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []  # what each asked for as its range
        self.script = []
        self.over = threading.Event()  # set when the test is
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"

    def handle_error(self, request, client_address):
        """Keep quiet about connections that a test has cut."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.headers.get("Range"))
        if self.server.script:
            self.server.script.pop(0)(self)
        else:
            self.serve()

    def serve(self, stop=None, length=None, shift=0):
        """Answer as one should, but for a cut at `stop`, a wrong length or start."""
        content, asked = self.server.content, self.headers.get("Range")
        asked = asked if self.server.ranges else None
        first = int(asked.removeprefix("bytes=").rstrip("-")) + shift if asked else 0
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(length or len(content) - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[first:stop])

    def log_message(self, *arguments):
        pass


def wrongly(**how):
    return lambda handler: handler.serve(**how)


def says(code, **headers):
    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def sends(raw):
    """Answer with bytes that need not be HTTP."""
    return lambda handler: handler.wfile.write(raw)


def hangs_after(count):
    """Send so many bytes of the content, and nothing more until the test is over."""

    def answer(handler):
        if count:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(CONTENT)))
            handler.end_headers()
            handler.wfile.write(CONTENT[:count])
        handler.server.over.wait(PATIENCE)

    return answer


def drips(handler):
    """Send the content in pieces that each take a while, but less than the time allowed."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENT)))
    handler.end_headers()
    for start in range(0, len(CONTENT), 50_000):
        time.sleep(0.06)
        handler.wfile.write(CONTENT[start : start + 50_000])


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield running
        running.over.set()
        running.shutdown()


@pytest.fixture
def source(server):
    return Source("file.bin", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", server.url)


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """Notes the waits before new tries instead of waiting; keeps proxies out."""
    waits = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setenv("no_proxy", "*")
    return waits


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(server, source, tmp_path):
    path = fetch(source, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert fetch(source, path.parent) == path
    assert len(server.requests) == 1
    assert names(path.parent) == ["file.bin"]


def test_a_cut_connection_goes_on_by_itself(server, source, tmp_path, waited, capsys):
    server.script = [wrongly(stop=300_000), wrongly(stop=700_000)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-", "bytes=700000-"]
    assert waited == [download.WAITS[0]] * 2
    assert "file.bin: the connection was cut; trying again in 1 s" in capsys.readouterr().err


def test_the_next_call_goes_on_where_the_connection_was_cut(server, source, tmp_path, waited):
    server.script = [wrongly(stop=300_000)] * 5
    with pytest.raises(DataError, match="connection was cut.*goes on where it stopped"):
        fetch(source, tmp_path)
    # One try brought it further; those that did not were as many as there are waits.
    assert len(server.requests) == 1 + len(download.WAITS)
    assert waited == list(download.WAITS)
    assert names(tmp_path) == ["file.bin.part"]
    server.script = []
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert set(server.requests[1:]) == {"bytes=300000-"}
    assert names(tmp_path) == ["file.bin"]


def test_a_server_that_cannot_resume_and_always_cuts_is_given_up(server, source, tmp_path):
    server.ranges = False
    server.script = [wrongly(stop=300_000)] * 50
    with pytest.raises(DataError, match="connection was cut"):
        fetch(source, tmp_path)
    assert len(server.requests) == 1 + len(download.WAITS)


def test_a_server_that_cannot_resume_starts_again(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    assert fetch(source, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("shift", [-100, 100])
def test_a_piece_from_elsewhere_is_not_appended(shift, server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.script = [wrongly(shift=shift)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-", None]


def test_a_piece_of_which_nothing_is_said_is_not_appended(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.script = [says(206)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_piece_that_nobody_asked_for_is_not_taken_for_the_file(server, source, tmp_path):
    def piece(handler):
        handler.headers["Range"] = "bytes=500-"
        handler.serve()

    server.script = [piece]
    with pytest.raises(DataError, match="checksum differs"):
        fetch(source, tmp_path)
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_length_that_is_too_great_does_no_harm(server, source, tmp_path):
    server.script = [wrongly(length=len(CONTENT) + 1000)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("length", [len(CONTENT) - 1000, "-5", "many"])
def test_a_length_that_is_wrong_gives_the_file_or_nothing(length, server, source, tmp_path):
    server.script = [wrongly(length=length)]
    try:
        fetch(source, tmp_path)
    except DataError:
        assert names(tmp_path) == []
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_chunks_without_a_length_are_taken_and_their_loss_is_noticed(server, source, tmp_path):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    half = len(CONTENT) // 2
    first, second = (b"%x\r\n%s\r\n" % (half, CONTENT[i : i + half]) for i in (0, half))
    server.script = [sends(head + first)]
    assert fetch(source, tmp_path / "cut").read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={half}-"]
    server.script = [sends(head + first + second + b"0\r\n\r\n")]
    assert fetch(source, tmp_path / "whole").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_part_that_is_complete_is_taken(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DataError, match="checksum differs"):
        fetch(source, tmp_path)
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_part_of_another_version_is_thrown_away(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(DataError, match="checksum differs"):
        fetch(source, tmp_path)
    assert names(tmp_path) == []
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_is_deleted(server, source, tmp_path):
    server.content = b"<html>Please log in to this network.</html>"
    with pytest.raises(DataError, match="is not file.bin as the course knows it"):
        fetch(source, tmp_path)
    assert names(tmp_path) == []


def test_a_damaged_file_on_disk_is_fetched_again(server, source, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_needs_no_network(source, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    offline = Source("file.bin", source.checksum, "http://127.0.0.1:9/file.bin")
    assert fetch(offline, tmp_path).read_bytes() == CONTENT


def test_without_a_network_it_says_so_at_once(source, tmp_path, waited):
    nobody = Source("file.bin", source.checksum, "http://127.0.0.1:9/file.bin")
    with pytest.raises(DataError, match="Check the network .* cutouts need no network"):
        fetch(nobody, tmp_path)
    assert waited == []
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [401, 403, 404, 410, 501])
def test_a_refusal_is_final(code, server, source, tmp_path, waited):
    server.script = [says(code)]
    with pytest.raises(DataError, match=f"answers {code} .*by hand"):
        fetch(source, tmp_path)
    assert len(server.requests) == 1
    assert waited == []


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(code, server, source, tmp_path, waited):
    server.script = [says(code)] * 2
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert waited == list(download.WAITS[:2])
    server.script = [says(code)] * 50
    with pytest.raises(DataError, match=f"answers {code} .*try again later"):
        fetch(source, tmp_path / "other")
    assert len(waited) == 2 + len(download.WAITS)


def test_a_server_that_becomes_busy_in_the_middle_costs_nothing(server, source, tmp_path):
    server.script = [wrongly(stop=300_000), says(503), says(503), wrongly(stop=600_000), says(503)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None] + ["bytes=300000-"] * 3 + ["bytes=600000-"] * 2


def test_a_server_may_say_how_long_to_wait_within_reason(server, source, tmp_path, waited):
    server.script = [says(429, Retry_After="7"), says(503, Retry_After="soon")]
    fetch(source, tmp_path)
    assert waited == [7, download.WAITS[1]]
    server.script = [says(429, Retry_After="3600")]
    with pytest.raises(DataError, match="answers 429 .*try again later"):
        fetch(source, tmp_path / "other")
    assert len(waited) == 2


def test_a_server_that_hangs_is_left(server, source, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.2)
    server.script = [hangs_after(0)]
    with pytest.raises(DataError, match="nothing came for 0.2 seconds.*Check the network"):
        fetch(source, tmp_path)
    server.script = [hangs_after(300_000)]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, None, "bytes=300000-"]


def test_a_slow_server_is_not_left(server, source, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 1)
    server.script = [drips]  # takes longer altogether
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_redirect_is_followed(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.script = [says(302, Location="/elsewhere")]
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == ["bytes=1000-"] * 2


def test_redirects_in_a_circle_are_noticed(server, source, tmp_path):
    server.script = [says(302, Location=server.url)] * 50
    with pytest.raises(DataError, match="answers 302 .it redirects in a circle"):
        fetch(source, tmp_path)
    assert len(server.requests) < 15


@pytest.mark.parametrize("scheme", ["file", "ftp", "data", "gopher"])
def test_only_the_web_is_asked(scheme, server, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    url = secret.as_uri().replace("file", scheme, 1)
    server.script = [says(302, Location=url)]
    with pytest.raises(DataError, match=f"answers 302 .*{scheme}:.*not allowed"):
        fetch(Source("file.bin", digest, server.url), tmp_path / "data")
    with pytest.raises(DataError, match="no address that starts with http:// or https://"):
        fetch(Source("file.bin", digest, url), tmp_path / "data")
    assert names(tmp_path / "data") == []


@pytest.mark.parametrize(
    "answer",
    [
        sends(b""),
        sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
        sends(b"HTTP/1.1 200 " + b"x" * 70_000),
        sends(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n"),
        says(302, Location="http://[::1/"),
        says(302, Location="http://127.0.0.1:port/"),
        says(302, Location="http://a..b/"),
        says(302, Location=f"http://{'a' * 70}.invalid/"),
        says(302),
    ],
)
def test_nonsense_gets_a_sentence(answer, server, source, tmp_path):
    server.script = [answer]
    with pytest.raises(DataError) as caught:
        fetch(source, tmp_path)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_only(*_, **__):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("failing", ["mkdir", "lock", "rename"])
@pytest.mark.parametrize("fault", [full, read_only])
def test_a_disk_that_fails_is_not_called_the_network(fault, failing, source, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        if failing == "lock":
            patch.setattr(download, "FileLock", fault)
        else:
            patch.setattr(Path, {"mkdir": "mkdir", "rename": "replace"}[failing], fault)
        with pytest.raises(DataError, match="could not be written to .*COURSE_OUTPUT") as caught:
            fetch(source, tmp_path / "data")
    assert "Check the network" not in str(caught.value)
    assert not (tmp_path / "data" / "file.bin").exists()
    assert fetch(source, tmp_path / "data").read_bytes() == CONTENT


def test_a_file_in_place_of_the_folder_is_not_called_the_network(source, tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(DataError, match="could not be written to "):
        fetch(source, tmp_path / "data")


def test_a_file_on_a_read_only_disk_is_used(source, tmp_path, monkeypatch):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    monkeypatch.setattr(Path, "mkdir", read_only)
    monkeypatch.setattr(download, "FileLock", read_only)
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_disk_that_becomes_full_keeps_what_fits(server, source, tmp_path):
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        with pytest.raises(DataError, match="could not be written to .*The network is not"):
            fetch(source, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(server.requests) == 1  # to ask again would not help
    assert names(tmp_path) == ["file.bin.part"]
    kept = (tmp_path / "file.bin.part").read_bytes()
    assert 0 < len(kept) <= 400_000
    assert CONTENT.startswith(kept)
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests[1] == f"bytes={len(kept)}-"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full device")
def test_a_full_device_is_not_called_the_network(source, tmp_path):
    (tmp_path / "file.bin.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device.*make room there"):
        fetch(source, tmp_path)
    assert not (tmp_path / "file.bin").exists()


def test_a_set_whose_file_cannot_be_had_is_not_begun(server, source, tmp_path, monkeypatch):
    data_set = catalog.DataSet("wanted", "", "", (source,), lambda files, folder: None)
    monkeypatch.setitem(catalog.CATALOG, "wanted", data_set)
    server.script = [says(404)]
    with pytest.raises(DataError, match="answers 404"):
        catalog.prepare("wanted", tmp_path)
    assert not (tmp_path / "wanted").exists()
    assert catalog.prepare("wanted", tmp_path).is_dir()


def test_threads_that_fetch_at_once_do_not_mix(server, source, tmp_path):
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(fetch(source, tmp_path))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "file.bin"] * 4
    assert paths[0].read_bytes() == CONTENT
    assert len(server.requests) == 1


# A process that was started in the background ignores Ctrl-C, and so do its children.
PROGRAM = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from course_utils.data.download import Source, fetch
print("ready", flush=True)
sys.stdin.readline()
fetch(Source("file.bin", *sys.argv[1:3]), Path(sys.argv[3]))
"""


@pytest.fixture
def start(source, tmp_path):
    """Start processes that fetch the file into the same folder when they are told to go."""
    running = []

    def start():
        command = [sys.executable, "-c", PROGRAM, source.checksum, source.url, str(tmp_path)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors


def wait_until(condition):
    for _ in range(PATIENCE * 50):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not happen in time")


def test_processes_that_fetch_at_once_ask_once(server, start, tmp_path):
    processes = [start() for _ in range(3)]
    server.script = [drips]
    for process in processes:
        go(process)
    for process in processes:
        finish(process)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [None]
    assert names(tmp_path) == ["file.bin"]


def test_a_process_goes_on_with_what_a_killed_one_left(server, start, tmp_path):
    killed, other = start(), start()
    server.script = [hangs_after(300_000)]
    part = tmp_path / "file.bin.part"
    go(killed)
    wait_until(lambda: part.exists() and part.stat().st_size > 200_000)
    go(other)
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the lock
        other.wait(0.3)
    assert server.requests == [None]
    killed.kill()
    killed.wait()
    finish(other)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert server.requests[1].startswith("bytes=")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal for one process")
def test_an_interrupted_download_is_kept(server, start, tmp_path):
    process = start()
    server.script = [hangs_after(300_000)]
    part = tmp_path / "file.bin.part"
    go(process)
    wait_until(lambda: part.exists() and part.stat().st_size > 200_000)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    kept = part.read_bytes()
    assert len(kept) > 200_000
    assert CONTENT.startswith(kept)
    assert not (tmp_path / "file.bin").exists()

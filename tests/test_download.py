"""Downloads from a server on this machine: whole, resumed, wrong, refused."""

import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from course_utils.data import DataError
from course_utils.data.download import Source, extract, fetch

CONTENT = bytes(range(256)) * 4000  # about a megabyte


class Server(ThreadingHTTPServer):
    """Serves CONTENT under /file.bin, and can be told to misbehave."""

    ranges = True  # whether it can go on in the middle
    cut_after = None  # bytes after which it hangs up
    content = CONTENT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"

    def handle_error(self, request, client_address):
        """Keep quiet about connections that a test has cut."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        start = self.headers.get("Range")
        self.server.requests.append(start)
        if not self.path.endswith("/file.bin"):
            self.send_error(404)
            return
        content = self.server.content
        first = int(start.removeprefix("bytes=").rstrip("-")) if start and self.server.ranges else 0
        if first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : self.server.cut_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def source(server):
    return Source("file.bin", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", server.url)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(server, source, tmp_path):
    path = fetch(source, tmp_path / "new" / "folder")
    assert path.read_bytes() == CONTENT
    assert fetch(source, path.parent) == path
    assert len(server.requests) == 1
    assert names(path.parent) == ["file.bin"]


def test_it_goes_on_where_the_connection_was_cut(server, source, tmp_path):
    server.cut_after = 300_000
    with pytest.raises(DataError, match="goes on where it stopped"):
        fetch(source, tmp_path)
    assert names(tmp_path) == ["file.bin.part"]
    server.cut_after = None
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-"]
    assert names(tmp_path) == ["file.bin"]


def test_a_server_that_cannot_resume_starts_again(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.ranges = False
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_complete_is_taken(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(source, tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server, source, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    with pytest.raises(DataError, match="checksum differs"):
        fetch(source, tmp_path)
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_wrong_file_is_deleted(server, source, tmp_path):
    server.content = b"<html>Please log in to this network.</html>"
    with pytest.raises(DataError, match="is not file.bin as the course knows it"):
        fetch(source, tmp_path)
    assert names(tmp_path) == []


def test_a_damaged_file_on_disk_is_fetched_again(server, source, tmp_path):
    (tmp_path / "file.bin").write_bytes(CONTENT[:-1])
    assert fetch(source, tmp_path).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_needs_no_network(tmp_path, source):
    (tmp_path / "file.bin").write_bytes(CONTENT)
    offline = Source("file.bin", source.checksum, "http://127.0.0.1:9/file.bin")
    assert fetch(offline, tmp_path).read_bytes() == CONTENT


def test_a_missing_page_and_a_missing_network_get_a_sentence(server, source, tmp_path):
    gone = Source("file.bin", source.checksum, server.url.replace("file.bin", "gone"))
    with pytest.raises(DataError, match="answers 404 .*by hand"):
        fetch(gone, tmp_path)
    nobody = Source("file.bin", source.checksum, "http://127.0.0.1:9/file.bin")
    with pytest.raises(DataError, match="Check the network .* cutouts need no network"):
        fetch(nobody, tmp_path)
    assert names(tmp_path) == []


def test_two_downloads_at_once_do_not_mix(server, source, tmp_path):
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


def zip_of(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    return path


def tar_of(path, *entries):
    with tarfile.open(path, "w:gz") as archive:
        for entry in entries:
            archive.addfile(entry, io.BytesIO(b"text") if entry.size else None)
    return path


def tar_entry(name, **fields):
    entry = tarfile.TarInfo(name)
    entry.size = 0 if fields else 4
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry


def test_archives_are_unpacked(tmp_path):
    extract(zip_of(tmp_path / "a.zip", "cats/1.txt", "dogs/2.txt"), tmp_path / "zip")
    extract(tar_of(tmp_path / "a.tar.gz", tar_entry("cats/1.txt")), tmp_path / "tar")
    assert (tmp_path / "zip" / "dogs" / "2.txt").read_text() == "text"
    assert (tmp_path / "tar" / "cats" / "1.txt").read_text() == "text"


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_entries_that_lead_outside_are_refused(name, kind, tmp_path):
    name = name.replace("/tmp", str(tmp_path))
    folder = tmp_path / "into"
    if kind == "zip":
        archive = zip_of(tmp_path / "a.zip", "good.txt", name)
        with pytest.raises(DataError, match="a.zip was refused"):
            extract(archive, folder)
        assert list(folder.iterdir()) == []
    else:
        # Python's own filter cuts a leading slash off, and refuses the rest.
        archive = tar_of(tmp_path / "a.tar.gz", tar_entry(name))
        try:
            extract(archive, folder)
        except DataError as error:
            assert "was refused" in str(error)
    assert not (tmp_path / "outside.txt").exists()


def test_a_link_that_leads_outside_is_refused(tmp_path):
    link = tar_entry("link", type=tarfile.SYMTYPE, linkname="../../secret")
    with pytest.raises(DataError, match="was refused"):
        extract(tar_of(tmp_path / "a.tar.gz", link), tmp_path / "into")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_a_damaged_archive_gets_a_sentence(name, tmp_path):
    good = zip_of(tmp_path / name, "cats/1.txt") if name == "a.zip" else None
    good = good or tar_of(tmp_path / name, tar_entry("cats/1.txt"))
    good.write_bytes(good.read_bytes()[:30])
    with pytest.raises(DataError, match="is damaged, or no zip or tar file; download it again"):
        extract(good, tmp_path / "into")

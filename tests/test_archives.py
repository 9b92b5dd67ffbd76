"""Archives: unpacked whole, or refused with the entry named and nothing left behind."""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_utils import archive as unpacking
from course_utils.archive import extract
from course_utils.data import DataError

TREE = {"cats/1.txt": b"one", "cats/2.txt": b"two" * 1000, "dogs/big.bin": bytes(range(256)) * 40}
ZIP_METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
TAR_MODES = ["w", "w:gz", "w:bz2", "w:xz"]


def zip_of(path, entries, method=zipfile.ZIP_DEFLATED, **fields):
    """Write a zip file of (name, content) pairs, with some fields of the last entry changed."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo("any")
            info.filename = name  # ZipInfo would mend it
            info.compress_type = method
            if (name, content) == entries[-1]:
                for field, value in fields.items():
                    setattr(info, field, value)
            with warnings.catch_warnings(action="ignore"):  # of names that are there twice
                archive.writestr(info, content)
    return path


def tar_of(path, entries, mode="w:gz", **fields):
    """Write a tar file of (name, content) pairs, with some fields of the last entry changed."""
    with tarfile.open(path, mode) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if (name, content) == entries[-1]:
                for field, value in fields.items():
                    setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return path


MAKERS = {"zip": zip_of, "tar": tar_of}


def unpacked(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(archive, match):
    """Check that an archive is refused in one sentence, and that nothing is left of it."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError, match=match) as caught:
        extract(archive, archive.parent / "into")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).count(". ") == 0
    str(caught.value).encode()  # can be printed
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("method", ZIP_METHODS)
def test_zip_files_are_unpacked(method, tmp_path):
    extract(zip_of(tmp_path / "a.zip", list(TREE.items()), method), tmp_path / "new" / "into")
    assert unpacked(tmp_path / "new" / "into") == TREE


@pytest.mark.parametrize("mode", TAR_MODES)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_files_are_unpacked(mode, form, tmp_path):
    tree = TREE if form == tarfile.USTAR_FORMAT else TREE | {f"{'x' * 200}/é": b"long"}
    with tarfile.open(tmp_path / "a.tar", mode, format=form) as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    extract(tmp_path / "a.tar", tmp_path / "into")
    assert unpacked(tmp_path / "into") == tree


def test_what_tar_and_zip_make_of_a_folder_is_unpacked(tmp_path):
    for name, content in TREE.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "data" / "empty").mkdir()
    (tmp_path / "data" / "cats" / "none.txt").touch()
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(tmp_path / "data", ".")  # "./" and "./cats/…", as `tar -c .` writes them
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted((tmp_path / "data").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "data"))
    for name in ("a.tgz", "a.zip"):
        into = tmp_path / f"from {name}"
        into.mkdir()  # an empty one will do
        extract(tmp_path / name, into)
        assert unpacked(into) == TREE | {"cats/none.txt": b""}
        assert (into / "empty").is_dir()


def test_nothing_is_unpacked_among_other_files(tmp_path):
    (tmp_path / "into").mkdir()
    (tmp_path / "into" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="into is not empty; unpack a.zip into a new folder"):
        extract(zip_of(tmp_path / "a.zip", [("mine.txt", b"")]), tmp_path / "into")
    assert unpacked(tmp_path / "into") == {"mine.txt": b"mine"}


def test_archives_in_archives_are_files(tmp_path):
    inner = zip_of(tmp_path / "inner.zip", [("inside.txt", b"x")]).read_bytes()
    # A zip file is found by what stands at its end, so this looks like one.
    tar = tar_of(tmp_path / "a.tar", [("1.txt", b"x"), ("inner.zip", inner)], "w")
    extract(tar, tmp_path / "from tar")
    assert unpacked(tmp_path / "from tar") == {"1.txt": b"x", "inner.zip": inner}
    outer = zip_of(tmp_path / "a.zip", [("inner.zip", inner)], zipfile.ZIP_STORED)
    extract(outer, tmp_path / "from zip")
    assert unpacked(tmp_path / "from zip") == {"inner.zip": inner}


def test_a_tar_file_is_known_whatever_its_first_file_is_called(tmp_path):
    for first in ("PK.txt", "BZh91/a.txt", "BZhang/a.txt"):
        into = tmp_path / first[:5] / first[-5]
        tar = tar_of(tmp_path / "a.tar", [(first, b"x")], "w")
        extract(tar, into)
        assert unpacked(into) == {first: b"x"}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../outside.txt", "would land outside"),
        ("cats/../../outside.txt", "would land outside"),
        ("cats/../inside.txt", "would land outside"),
        ("..", "would land outside"),
        ("/tmp/outside.txt", "would land outside"),
        ("//server/share/outside.txt", "would land outside"),
        (r"..\outside.txt", "backslash"),
        (r"cats\outside.txt", "backslash"),
        (r"C:\outside.txt", "would land outside"),
        ("C:outside.txt", "would land outside"),
        (r"\\server\share\outside.txt", "would land outside"),
        (r"\outside.txt", "would land outside"),
        (".", "has no name"),
        ("x" * 256, "name that is too long"),
        ("é" * 128, "name that is too long"),
        ("/".join(["long"] * 300), "name that is too long"),
        ("cats/1.txt", "is there twice"),
        ("./cats//1.txt", "is there twice"),
        ("cats/1.TXT", "cannot be told from 'cats/1.txt'"),
        ("Cats/3.txt", "cannot be told from 'cats'"),
        ("cats", "needs 'cats' to be both a file and a folder"),
        ("cats/1.txt/inside", "needs 'cats/1.txt' to be both a file and a folder"),
        ("cafe\u0301/1.txt", "cannot be told from 'café'"),
    ],
)
def test_names_that_are_not_safe_everywhere_are_refused(kind, name, problem, tmp_path):
    entries = [("cats/1.txt", b"1"), ("café/2.txt", b"2"), (name, b"3")]
    archive = MAKERS[kind](tmp_path / "a.bin", entries)
    refused(archive, f"a.bin was refused: .*{problem}")
    with pytest.raises(DataError) as caught:
        extract(archive, tmp_path / "into")
    assert repr(name)[1:60].rstrip("'") in str(caught.value)


@pytest.mark.parametrize("kind", MAKERS)
def test_nul_in_a_name_is_refused(kind, tmp_path):
    fields = {"pax_headers": {"path": "good\0/../bad"}} if kind == "tar" else {}
    name = "any" if kind == "tar" else "good\0/../bad"
    archive = MAKERS[kind](tmp_path / "a.bin", [(name, b"x")], **fields)
    refused(archive, r"'good\\x00/\.\./bad' has the character NUL")


def test_a_name_that_is_no_text_can_still_be_shown(tmp_path):
    refused(tar_of(tmp_path / "a.tar", [("\udcff\n\x1b", b"x")] * 2), r"\\udcff\\n\\x1b' is there")


@pytest.mark.parametrize(
    ("mode", "problem"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFCHR, "is a device or a pipe"),
        (stat.S_IFBLK, "is a device or a pipe"),
        (stat.S_IFIFO, "is a device or a pipe"),
        (stat.S_IFSOCK, "is a device or a pipe"),
    ],
)
def test_what_is_no_file_in_a_zip_file_is_refused(mode, problem, tmp_path):
    entries = [("good.txt", b"x"), ("bad", b"good.txt")]
    archive = zip_of(tmp_path / "a.zip", entries, external_attr=(mode | 0o644) << 16)
    refused(archive, f"a.zip was refused: 'bad' {problem}")


@pytest.mark.parametrize("target", ["good.txt", "../secret", "/etc/passwd"])
@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_file_is_refused(link, target, tmp_path):
    entries = [("good.txt", b"x"), ("bad", b"")]
    archive = tar_of(tmp_path / "a.tar", entries, type=link, linkname=target)
    refused(archive, "a.tar was refused: 'bad' is a link")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"?"])
def test_a_device_in_a_tar_file_is_refused(kind, tmp_path):
    archive = tar_of(tmp_path / "a.tar", [("good.txt", b"x"), ("bad", b"")], type=kind)
    refused(archive, "a.tar was refused: 'bad' is a device")


def test_a_folder_with_contents_is_refused(tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("good.txt", b"x"), ("bad/", b"hidden")])
    refused(archive, "'bad/' is a folder with contents")


def test_an_encrypted_zip_file_is_refused(tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("secret.txt", b"x")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    archive.write_bytes(content)
    refused(archive, "'secret.txt' is encrypted")


@pytest.mark.parametrize("method", [9, 93, 98])
def test_an_unknown_compression_is_refused(method, tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("new.txt", b"x")])
    content = bytearray(archive.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\1\2") + 10, method)
    struct.pack_into("<H", content, 8, method)
    archive.write_bytes(content)
    refused(archive, rf"'new.txt' is compressed by a method that Python cannot read \({method}\)")


@pytest.fixture
def strict(monkeypatch):
    """Lower the limits, so that bombs may be small."""
    monkeypatch.setattr(unpacking, "HARMLESS", 100_000)
    monkeypatch.setattr(unpacking, "MAX_RATIO", 20)


ZEROS = bytes(60_000)


@pytest.mark.parametrize("kind", MAKERS)
def test_bombs_are_refused(strict, kind, tmp_path):
    entries = [("a.bin", ZEROS), ("b.bin", ZEROS)]
    archive = MAKERS[kind](tmp_path / "a.bin", entries)
    refused(archive, "at 'b.bin' it unpacks to more than 0 MB, too much to be meant")
    extract(MAKERS[kind](tmp_path / "good.bin", entries[:1]), tmp_path / "good")


def header(kind, size):
    """Make a header of a tar file with a size of any kind, written as GNU tar writes great ones."""
    info = tarfile.TarInfo("name")
    info.type = kind
    content = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    content[124:136] = (size % 256**12 | (size >= 0) << 95).to_bytes(12, "big")
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content)
    return bytes(content)


def test_a_bomb_in_what_a_tar_file_does_not_unpack_is_refused(strict, tmp_path):
    # Of a sparse file, what is stored and what comes out differ in length.
    content = header(tarfile.GNUTYPE_SPARSE, 10_000_000_000) + ZEROS
    (tmp_path / "a.tgz").write_bytes(gzip.compress(content))
    refused(tmp_path / "a.tgz", "a.tgz was refused: at 'name' it unpacks to more")
    good = tar_of(tmp_path / "b.tar", [("a.txt", b"x")], "w").read_bytes()
    (tmp_path / "b.tar").write_bytes(gzip.compress(good + bytes(200_000)))
    refused(tmp_path / "b.tar", "at 'a.txt' it unpacks to more")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [20_000, -1024])
def test_a_bomb_in_a_header_is_refused_before_it_is_read(size, kind, strict, tmp_path, monkeypatch):
    """The longer headers of tar files are read in one piece, or to the end, into memory."""
    monkeypatch.setattr(unpacking, "MAX_HEADER", 10_000)
    content = header(kind, size) + b"x" * 20_480 + header(tarfile.REGTYPE, 0) + bytes(500_000)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(content))
    refused(tmp_path / "a.tgz", "a.tgz is damaged")


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE])
@pytest.mark.parametrize("size", [-512, -1000, -1024])
def test_a_negative_size_does_not_go_round_in_circles(size, kind, tmp_path):
    good = tar_of(tmp_path / "a.tar", [("a.txt", b"x")], "w").read_bytes()
    (tmp_path / "a.tar").write_bytes(header(kind, size) + good)
    refused(tmp_path / "a.tar", "a.tar is damaged")


def test_sizes_that_lie_do_not_help(strict, tmp_path):
    """What stands in the headers of a zip file and what comes out of it are counted."""
    archive = zip_of(tmp_path / "a.zip", [("a.bin", ZEROS * 10)])
    content = bytearray(archive.read_bytes())
    central = content.index(b"PK\1\2")
    for position in (central + 24, 22):
        struct.pack_into("<I", content, position, 10)
    archive.write_bytes(content)
    refused(archive, "a.zip is damaged at 'a.bin'")
    struct.pack_into("<I", content, central + 24, 2_000_000)
    archive.write_bytes(content)
    refused(archive, "at 'a.bin' it unpacks to more")


def test_what_comes_out_is_counted_whatever_is_declared(strict, tmp_path, monkeypatch):
    entry = unpacking._Entry("a.bin", False, 0, "", iter([ZEROS] * 3))
    monkeypatch.setattr(unpacking, "_entries", lambda *_: iter([entry]))
    (tmp_path / "a.zip").write_bytes(b"PK")
    refused(tmp_path / "a.zip", "at 'a.bin' it unpacks to more")


@pytest.mark.parametrize("kind", MAKERS)
def test_what_the_disk_has_no_room_for_is_refused(kind, tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100_000)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage)
    archive = MAKERS[kind](tmp_path / "a.bin", [("a.bin", ZEROS), ("b.bin", ZEROS)])
    refused(archive, "at 'b.bin' it needs more room than the disk has")


def test_what_has_no_room_is_refused_before_it_is_written(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=100_000)
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _: usage)
    # Neither gets as far as to notice that the first of the contents is damaged.
    archive = zip_of(tmp_path / "a.zip", [("a.bin", ZEROS), ("b.bin", ZEROS)], 0)
    archive.write_bytes(archive.read_bytes().replace(ZEROS, b"x" * len(ZEROS), 1))
    refused(archive, "at 'b.bin' it needs more room than the disk has")
    content = gzip.compress(header(tarfile.REGTYPE, 200_000) + os.urandom(200_000))
    (tmp_path / "a.tgz").write_bytes(content[:10_000])
    refused(tmp_path / "a.tgz", "at 'name' it needs more room than the disk has")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_fails_gets_a_sentence(error, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(error, os.strerror(error))

    archive = zip_of(tmp_path / "a.zip", list(TREE.items()))
    for function in ("mkdir", "rename"):
        with monkeypatch.context() as patch:
            patch.setattr(unpacking.Path, function, fail)
            match = rf"a.zip could not be unpacked to .*into \({os.strerror(error)}\)"
            refused(archive, match)
    extract(archive, tmp_path / "into")


def test_a_disk_that_becomes_full_keeps_nothing(tmp_path):
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of files")
    archive = tar_of(tmp_path / "a.tar", [("a.bin", ZEROS), ("b.bin", ZEROS * 10)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        refused(archive, "a.tar could not be unpacked to ")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "content", [b"", b"text", bytes(512), bytes(10240), b"PK\3\4", b"\x1f\x8b"]
)
def test_what_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    refused(
        tmp_path / "a.zip", "a.zip (is damaged, or no zip or tar file; download it|was .*empty)"
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_an_empty_archive_is_refused(kind, tmp_path):
    refused(MAKERS[kind](tmp_path / "a.bin", []), "a.bin was refused: it is empty")


def test_an_archive_that_is_not_there_gets_a_sentence(tmp_path):
    with pytest.raises(DataError, match="a.zip could not be unpacked to .*No such file"):
        extract(tmp_path / "a.zip", tmp_path / "into")
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_lost_within_a_tar_file_are_noticed(tmp_path):
    """tarfile ends at a header that it cannot read, as if it were the end of the file."""
    archive = tar_of(tmp_path / "a.tar", list(TREE.items()), "w")
    content = archive.read_bytes()
    second = content.index(b"cats/2.txt")
    archive.write_bytes(content[:second] + b"?" + content[second + 1 :])
    refused(archive, "a.tar is damaged at 'cats/1.txt'")
    archive.write_bytes(content[:second])
    refused(archive, "a.tar is damaged at 'cats/1.txt'")


def test_entries_that_are_lost_within_a_zip_file_are_noticed(tmp_path):
    """A comment that seems longer than it is takes in the next entries of the list."""
    archive = zip_of(tmp_path / "a.zip", list(TREE.items()))
    content = bytearray(archive.read_bytes())
    second = content.rindex(b"PK\1\2", 0, content.rindex(b"PK\1\2"))
    struct.pack_into("<H", content, second + 32, len("dogs/big.bin") + 46)
    archive.write_bytes(content)
    with zipfile.ZipFile(archive) as file:
        assert len(file.infolist()) == 2
    refused(archive, "a.zip is damaged")


@pytest.mark.thorough
def test_zip_files_of_very_many_entries_are_unpacked(tmp_path):
    """Beyond 65,535 entries the usual count does not suffice."""
    names = [f"{number % 7}/{number}" for number in range(65_537)]
    archive = zip_of(tmp_path / "a.zip", [(name, b"") for name in names])
    extract(archive, tmp_path / "into")
    assert sorted(unpacked(tmp_path / "into")) == sorted(names)
    # Some programs write what is left of the count in two bytes.
    content = bytearray(archive.read_bytes())
    struct.pack_into("<HH", content, content.rindex(b"PK\5\6") + 8, 1, 1)
    archive.write_bytes(content)
    extract(archive, tmp_path / "other")
    assert sorted(unpacked(tmp_path / "other")) == sorted(names)


def archive_bytes(folder):
    """Give the same tree as each kind of archive."""
    entries = list(TREE.items())
    kinds = {
        f"zip {method}": zip_of(folder / f"{method}.zip", entries, method).read_bytes()
        for method in ZIP_METHODS
    }
    plain = tar_of(folder / "a.tar", entries, "w").read_bytes()
    return kinds | {
        "tar": plain,
        "tar gzip": gzip.compress(plain, mtime=0),
        "tar bzip2": bz2.compress(plain),
        "tar xz": lzma.compress(plain),
    }


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return archive_bytes(tmp_path_factory.mktemp("good"))


def check_damaged(content, root):
    """Whatever was done to an archive: the whole tree comes out, or an error and nothing.

    A zip file has no checksum of its names. Each stands there twice, and the same may happen to
    both; so of names only their number counts.
    """
    with tempfile.TemporaryDirectory(dir=root) as folder:
        archive = Path(folder, "a.bin")
        archive.write_bytes(content)
        into = Path(folder, "into")
        try:
            extract(archive, into)
        except DataError:
            assert os.listdir(folder) == ["a.bin"]
        else:
            tree = unpacked(into)
            assert sorted(tree.values()) == sorted(TREE.values())
            assert tree == TREE or content.startswith(b"PK")


KIND_NAMES = [f"zip {method}" for method in ZIP_METHODS] + [
    "tar",
    "tar gzip",
    "tar bzip2",
    "tar xz",
]
QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LONG = settings(QUICK, max_examples=1500)


def cut(kinds, folder, kind, data):
    content = kinds[kind]
    check_damaged(content[: data.draw(st.integers(0, len(content) - 1))], folder)


def flip(kinds, folder, kind, data):
    content = bytearray(kinds[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    check_damaged(bytes(content), folder)


@pytest.mark.parametrize("kind", KIND_NAMES)
@QUICK
@given(data=st.data())
def test_an_archive_that_was_cut_off_gives_all_or_nothing(kinds, tmp_path, kind, data):
    cut(kinds, tmp_path, kind, data)


# A plain tar file has no checksum of its contents.
@pytest.mark.parametrize("kind", [kind for kind in KIND_NAMES if kind != "tar"])
@QUICK
@given(data=st.data())
def test_an_archive_with_wrong_bytes_gives_all_or_nothing(kinds, tmp_path, kind, data):
    flip(kinds, tmp_path, kind, data)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KIND_NAMES)
@LONG
@given(data=st.data())
def test_an_archive_that_was_cut_anywhere_gives_all_or_nothing(kinds, tmp_path, kind, data):
    cut(kinds, tmp_path, kind, data)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", [kind for kind in KIND_NAMES if kind != "tar"])
@LONG
@given(data=st.data())
def test_an_archive_with_any_wrong_bytes_gives_all_or_nothing(kinds, tmp_path, kind, data):
    flip(kinds, tmp_path, kind, data)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", MAKERS)
def test_the_limits_leave_room_for_real_data(kind, tmp_path):
    noise = os.urandom(1 << 20)
    real = [(f"{number}.bin", noise + bytes(5 << 20)) for number in range(30)]  # 180 MB
    extract(MAKERS[kind](tmp_path / "real.bin", real), tmp_path / "real")
    assert len(unpacked(tmp_path / "real")) == 30
    bomb = [(f"{number}.bin", bytes(10 << 20)) for number in range(30)]
    archive = MAKERS[kind](tmp_path / "bomb.bin", bomb)
    with pytest.raises(DataError, match=r"at '\d+.bin' it unpacks to more than 1\d\d MB"):
        extract(archive, tmp_path / "into")
    assert not (tmp_path / "into").exists()

"""Write archives whose bytes depend on nothing but their contents, and unpack strangers' safely."""

import bz2
import gzip
import lzma
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import IO, NamedTuple, NoReturn

from course_utils.errors import DataError

CHUNK = 1 << 20  # bytes
# An archive that unpacks to more than both is taken for a bomb. Photographs hardly shrink at all,
# drawings of few colors by a factor of 50.
MAX_RATIO = 200  # times its own size
HARMLESS = 100_000_000  # bytes
MAX_HEADER = 16 * CHUNK  # bytes of a tar file's header, which is read in one piece
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
MAX_NAME = 255  # bytes that every usual file system takes
MAX_PATH = 1000  # characters


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip file, the same bytes on every machine.

    The entries are sorted, dated 1980 and stored as they are: images are compressed already, and a
    compressor's output would differ from one version of zlib to the next.

    Args:
        path: The file to write.
        files: Contents by name inside the archive.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            # The defaults differ between Windows and the rest.
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])


@contextmanager
def complete_or_nothing(folder: Path) -> Iterator[Path]:
    """Give a scratch folder that is renamed to `folder` when the block ends without error.

    Args:
        folder: The folder to make; nobody sees it before it is complete.

    Yields:
        An empty folder beside it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield scratch
        # mkdtemp makes a folder that only its owner can read.
        scratch.chmod(0o755)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
            # Another process was faster, and what it wrote is the same.
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file whole, or not at all.

    Only files and folders are unpacked, under names that mean the same on every system. Links,
    devices, names that lead elsewhere or collide, and more data than can be meant are refused.

    Args:
        archive: A zip file, or a tar file that may be compressed with gzip, bzip2 or xz.
        folder: Where to unpack; missing or empty.

    Raises:
        DataError: The archive is damaged, holds an entry that is not safe, or cannot be unpacked
            there.
    """
    try:
        if folder.is_dir():
            if any(folder.iterdir()):
                raise DataError(f"{folder} is not empty; unpack {archive.name} into a new folder.")
            folder.rmdir()  # on Windows nothing can be renamed to it
        with complete_or_nothing(folder) as scratch:
            _unpack(archive, scratch)
    except OSError as error:
        raise DataError(
            f"{archive.name} could not be unpacked to {folder} ({error.strerror or error})."
        ) from error


class _Entry(NamedTuple):
    """What an archive says of one of its files or folders."""

    name: str
    is_folder: bool
    size: int
    problem: str  # why it cannot be taken; empty when it can
    chunks: Iterator[bytes]


def _unpack(archive: Path, folder: Path) -> None:
    """Write the entries of an archive into an empty folder."""
    bomb = max(HARMLESS, MAX_RATIO * archive.stat().st_size)
    free = shutil.disk_usage(folder).free
    seen: dict[str, tuple[str, bool]] = {}
    name = ""  # of the entry that is being read
    done = 0  # bytes

    def refuse(problem: str) -> NoReturn:
        raise DataError(f"{archive.name} was refused: {problem}.")

    def check_size(size: int, at: str | None = None) -> None:
        where = _show(name if at is None else at)
        if size > bomb:
            refuse(f"at {where} it unpacks to more than {bomb / 1e6:,.0f} MB, too much to be meant")
        if size > free:
            refuse(f"at {where} it needs more room than the disk has ({free / 1e6:,.0f} MB)")

    def readable(items: Iterator) -> Iterator:
        """Pass on what is read; whatever goes wrong with it means that the archive is damaged."""
        try:
            yield from items
        except DataError:
            raise
        # The standard library raises a dozen kinds of errors over damaged archives.
        except Exception as error:
            where = f" at {_show(name)}" if name else ""
            raise DataError(
                f"{archive.name} is damaged{where}, or no zip or tar file; download it again."
            ) from error

    with closing(readable(_entries(archive, check_size))) as entries:
        for entry in entries:
            name = entry.name
            parts = [part for part in name.split("/") if part not in ("", ".")]
            problem = entry.problem or _name_problem(name, parts) or _clash(parts, entry, seen)
            if problem:
                refuse(f"{_show(name)} {problem}")
            target = folder.joinpath(*parts)
            if entry.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            check_size(done + entry.size)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as file, closing(readable(entry.chunks)) as chunks:
                for chunk in chunks:
                    done += len(chunk)
                    check_size(done)  # a header may lie
                    file.write(chunk)
    if not seen:
        refuse("it is empty")


def _show(name: str) -> str:
    """Quote a name so that it can be printed whatever is in it."""
    return repr(name if len(name) <= 100 else f"{name[:100]}…")


def _name_problem(name: str, parts: list[str]) -> str:
    """Say what is wrong with a name by itself, on this system or another; mostly nothing."""
    if "\0" in name:
        return "has the character NUL in its name"
    # Windows's rules take in those of the others.
    if ".." in parts or PureWindowsPath(name).anchor:
        return "would land outside of the folder"
    if "\\" in name:
        return "has a backslash in its name"
    lengths = [len(part.encode("utf-8", "surrogateescape")) for part in parts]
    if max(lengths, default=0) > MAX_NAME or len(name) > MAX_PATH:
        return "has a name that is too long"
    return ""


def _clash(parts: list[str], entry: _Entry, seen: dict[str, tuple[str, bool]]) -> str:
    """Note an entry and the folders it lies in; say where it meets one that was seen before."""
    if not parts:
        return "" if entry.is_folder else "has no name"
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        is_folder = entry.is_folder or depth < len(parts)
        # macOS and Windows do not tell upper from lower case, nor macOS the ways to write an é.
        key = unicodedata.normalize("NFC", path).lower()
        if key not in seen:
            seen[key] = (path, is_folder)
            continue
        before, was_folder = seen[key]
        if before != path:
            return f"cannot be told from {_show(before)} on every system"
        if not is_folder and not was_folder:
            return "is there twice"
        if not is_folder or not was_folder:
            return f"needs {_show(path)} to be both a file and a folder"
    return ""


def _entries(archive: Path, check_size: Callable[..., None]) -> Iterator[_Entry]:
    """Read the entries of an archive one after the other."""
    with open(archive, "rb") as file:
        magic = file.read(10)
    # Not `zipfile.is_zipfile`: it takes a tar file with a zip file at its end for that zip file.
    if magic.startswith((b"PK\3\4", b"PK\5\6")):
        with zipfile.ZipFile(archive) as file:
            # A wrong length in its list of entries makes zipfile skip some without a word.
            if _zip_count(archive) not in (0xFFFF, len(file.infolist()) % 0x10000):
                raise zipfile.BadZipFile("entries are missing")
            yield from _zip_entries(file, check_size)
        return
    opener = open
    if magic.startswith(b"\x1f\x8b"):
        opener = gzip.open
    elif magic.startswith(b"\xfd7zXZ\0"):
        opener = lzma.open
    elif magic.startswith(b"BZh") and magic.endswith(b"1AY&SY"):
        opener = bz2.open
    with opener(archive, "rb") as file:
        yield from _tar_entries(_Unpacked(file, check_size))


def _chunks(open_entry: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    with open_entry() as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _zip_count(archive: Path) -> int:
    """Read how many entries a zip file says that it has; 0xFFFF is for more than that."""
    with open(archive, "rb") as file:
        file.seek(max(0, archive.stat().st_size - 0x10000 - 22))  # a comment may follow
        end = file.read()
    return int.from_bytes(end[end.rindex(b"PK\5\6") + 10 :][:2], "little")


def _zip_entries(file: zipfile.ZipFile, check_size: Callable[..., None]) -> Iterator[_Entry]:
    size = 0
    for info in file.infolist():
        size += info.file_size
        check_size(size, info.filename)
    for info in file.infolist():
        # zipfile cuts a name at NUL, and on Windows takes backslashes for slashes.
        original = info.orig_filename
        name = original if "\0" in original or "\\" in original else info.filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        problem = ""
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            problem = "is a link" if kind == stat.S_IFLNK else "is a device or a pipe"
        elif info.flag_bits & 1:
            problem = "is encrypted"
        elif info.compress_type not in ZIP_METHODS:
            problem = f"is compressed by a method that Python cannot read ({info.compress_type})"
        elif info.is_dir() and info.file_size:
            problem = "is a folder with contents of its own"
        chunks = _chunks(partial(file.open, info))
        yield _Entry(name, info.is_dir(), info.file_size, problem, chunks)


class _Unpacked:
    """The bytes of a tar file; reading them ends where they become too many."""

    def __init__(self, file: IO[bytes], check_size: Callable[..., None]) -> None:
        self.file = file
        self.tell = file.tell
        self.check_size = check_size
        self.last = b""

    def read(self, size: int) -> bytes:
        # A header is read in one piece, and what it says of its length may be anything.
        if size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self.file.read(size)
        self.check_size(self.file.tell())
        return self.last

    def seek(self, position: int) -> int:
        self.check_size(position)
        return self.file.seek(position)


def _tar_entries(unpacked: _Unpacked) -> Iterator[_Entry]:
    with tarfile.open(fileobj=unpacked, mode="r:") as file:
        for member in file:
            if member.size < 0:
                raise tarfile.ReadError("a negative size")
            problem = ""
            if member.issym() or member.islnk():
                problem = "is a link"
            elif not member.isreg() and not member.isdir():
                problem = "is a device, a pipe or something unknown"
            chunks = _chunks(partial(file.extractfile, member))
            yield _Entry(member.name, member.isdir(), member.size, problem, chunks)
    # tarfile ends at a block that it cannot read as it does at the block of zeros that marks the
    # end: a file that was cut off would pass for whole.
    if unpacked.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no end")
    # Only at its end gzip compares its checksum.
    while unpacked.read(CHUNK):
        pass

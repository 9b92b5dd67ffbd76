"""Download files safely: resumed when cut off, verified, and never half-made in place."""

import hashlib
import http.client
import tarfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from course_utils.data import DataError

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Source:
    """A file that a data set is made of.

    Attributes:
        file_name: Its name on disk.
        checksum: What its contents must give, as `algorithm:hexadecimal digits`.
        url: Where to download it; empty for a file that comes with the package.
    """

    file_name: str
    checksum: str
    url: str = ""


def checksum(path: Path, like: str) -> str:
    """Compute the checksum of a file in the form that `Source.checksum` has.

    Args:
        path: The file.
        like: A checksum whose algorithm is to be used, for example `"sha256:…"`.

    Returns:
        `algorithm:hexadecimal digits`.
    """
    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def fetch(source: Source, folder: Path) -> Path:
    """Download a file, unless it is there already.

    What has arrived when a connection breaks is kept in a `.part` file and the next call goes on
    from there. A file that somebody put into the folder by hand serves as well.

    Args:
        source: The file to fetch.
        folder: Where to keep it.

    Returns:
        The path of the verified file.

    Raises:
        DataError: The file cannot be had or is not what it should be.
    """
    path = folder / source.file_name
    if _is_complete(path, source):
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Two processes would append to the same part.
        with FileLock(folder / f".{path.name}.lock"):
            if not _is_complete(path, source):
                _download_and_verify(source, path)
    except urllib.error.HTTPError as error:
        raise DataError(
            f"{source.url} answers {error.code} ({error.reason}); try again later, or put the "
            f"file into {folder} by hand."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{source.file_name} could not be downloaded ({reason}). Check the network and run the "
            f"same command again: it goes on where it stopped. The sets fashion-mini and cutouts "
            f"need no network."
        ) from error
    return path


def _is_complete(path: Path, source: Source) -> bool:
    return path.is_file() and checksum(path, source.checksum) == source.checksum


def _download_and_verify(source: Source, path: Path) -> None:
    """Download to a `.part` file, and give it its name when its checksum is right."""
    part = path.with_name(f"{path.name}.part")
    try:
        _download(source.url, part)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already as long as the file
            raise
    if not _is_complete(part, source):
        part.unlink(missing_ok=True)
        raise DataError(
            f"What {source.url} sent is not {source.file_name} as the course knows it (the "
            f"checksum differs); it was deleted. Try again, or get the file elsewhere."
        )
    part.replace(path)


def _download(url: str, part: Path) -> None:
    """Append to `part` what it lacks of the file at `url`."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        already = have if resumed else 0
        with (
            open(part, "ab" if resumed else "wb") as file,
            tqdm(
                desc=part.stem,
                total=int(length) + already if length else None,
                initial=already,
                unit="B",
                unit_scale=True,
                leave=False,
            ) as bar,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
        if length and part.stat().st_size < int(length) + already:
            raise ConnectionError("the connection was cut")


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar file, refusing entries that would land outside of the folder.

    Args:
        archive: A file that ends in `.zip`, `.tar`, `.tar.gz` or `.tgz`.
        folder: Where to unpack; made when missing.

    Raises:
        DataError: The archive is damaged or holds an entry that is not safe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                for name in file.namelist():
                    if not (folder / name).resolve().is_relative_to(folder.resolve()):
                        raise DataError(f"{archive.name} was refused: {name} would land outside.")
                file.extractall(folder)
        else:
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
    except tarfile.FilterError as error:
        raise DataError(f"{archive.name} was refused: {error}.") from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise DataError(
            f"{archive.name} is damaged, or no zip or tar file; download it again."
        ) from error

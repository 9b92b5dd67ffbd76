"""Download files safely: resumed when cut off, verified, and never half-made in place."""

import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from tqdm import tqdm

from course_utils.errors import DataError

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without an answer
BUSY = (408, 429, 500, 502, 503, 504)  # answers that may be another one soon
WAITS = (1, 3, 10)  # seconds before each new try; they begin again when more has arrived
LONGEST_WAIT = 60  # seconds that a server may ask for


@dataclass(frozen=True)
class Source:
    """A file that a dataset is made of.

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
        like: A checksum whose algorithm is to be used, for example "sha256:…".

    Returns:
        The algorithm, a colon, and hexadecimal digits.
    """
    algorithm = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def fetch(source: Source, folder: Path) -> Path:
    """Download a file, unless it is there already.

    What has arrived when a connection breaks is kept in a `.part` file, and the next try, or the
    next call, goes on from there. A file that somebody put into the folder by hand serves as well.

    Args:
        source: The file to fetch.
        folder: Where to keep it.

    Returns:
        The path of the verified file.

    Raises:
        DataError: The file cannot be had, is not what it should be, or cannot be written.
    """
    path = folder / source.file_name
    try:
        if not _is_complete(path, source):
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
    except _NetworkError as error:
        raise DataError(
            f"{source.file_name} could not be downloaded ({error}). Check the network and run the "
            f"same command again: it goes on where it stopped. The sets fashion-mini and cutouts "
            f"need no network."
        ) from error
    except OSError as error:
        raise DataError(
            f"{source.file_name} could not be written to {folder} ({error.strerror or error}). "
            f"The network is not the reason: make room there, or set COURSE_OUTPUT to a folder "
            f"that can be written to, and run the same command again."
        ) from error
    return path


class _NetworkError(Exception):
    """The network failed; an OSError beside it means that the disk did."""


@contextmanager
def _network() -> Iterator[None]:
    """Tell errors of the network from those of the disk."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    # ValueError: a server may redirect to something that is no address at all.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            reason = f"nothing came for {TIMEOUT} seconds"
        # On one line, whatever the server sent.
        raise _NetworkError(" ".join(str(reason).split()) or type(reason).__name__) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web addresses alone."""

    inf_msg = "it redirects in a circle: "

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not _is_web(newurl):
            raise urllib.error.HTTPError(
                req.full_url, code, f"a redirect to {newurl}, which is not allowed", headers, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _is_complete(path: Path, source: Source) -> bool:
    return path.is_file() and checksum(path, source.checksum) == source.checksum


def _download_and_verify(source: Source, path: Path) -> None:
    """Download to a `.part` file, and give it its name when its checksum is right."""
    if not _is_web(source.url):
        raise DataError(f"{source.url!r} is no address that starts with http:// or https://.")
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
    """Complete `part`, with new tries as long as they bring it further or the server is busy."""
    longest = _size(part)
    has_grown = False
    waits = iter(WAITS)
    while True:
        asked = ""
        try:
            return _append_rest(url, part)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in BUSY:
                raise
            failure, reason = error, f"{error.code} {error.reason}"
            asked = error.headers.get("Retry-After", "")
        except _NetworkError as error:
            has_grown = has_grown or _size(part) > longest
            if not has_grown:  # most likely there is no network: say so at once
                raise
            failure, reason = error, str(error)
        if _size(part) > longest:
            longest = _size(part)
            waits = iter(WAITS)
        wait = next(waits, None)
        if wait is not None and asked.isdecimal():
            wait = int(asked)
        if wait is None or wait > LONGEST_WAIT:
            raise failure
        print(f"{part.stem}: {reason}; trying again in {wait} s", file=sys.stderr)
        time.sleep(wait)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append_rest(url: str, part: Path) -> None:
    """Append to `part` what it lacks of the file at `url`."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with _network():
        response = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT)
    with response:
        resumed = have > 0 and response.status == 206
        starts = response.headers.get("Content-Range", "")
        if not resumed or starts.startswith(f"bytes {have}-"):
            _save(response, part, have if resumed else 0)
            return
    # A piece from elsewhere in the file would spoil the part.
    part.unlink()
    _append_rest(url, part)


def _save(response: http.client.HTTPResponse, part: Path, already: int) -> None:
    """Write what the server sends after the first `already` bytes of `part`."""
    total = None if response.length is None else already + response.length
    with (
        open(part, "ab" if already else "wb") as file,
        tqdm(
            desc=part.stem,
            total=total,
            initial=already,
            unit="B",
            unit_scale=True,
            leave=False,
        ) as bar,
    ):
        while True:
            with _network():
                # Unlike `read`, it keeps what came before the connection is cut.
                chunk = response.read1(CHUNK)
            if not chunk:
                break
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and _size(part) < total:
        raise _NetworkError("the connection was cut")

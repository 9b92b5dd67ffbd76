"""Where the bundled archives lie, and how they are written."""

import hashlib
from pathlib import Path

from course_utils.archive import write_zip

ARCHIVES = Path(__file__).resolve().parents[1] / "course_utils" / "data" / "archives"


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write `files` to a zip file, the same bytes on every machine, and print its checksum.

    Args:
        path: The zip file to write.
        files: Contents by name inside the archive.
    """
    write_zip(path, files)
    content = path.read_bytes()
    print(f"{path.name}: {len(files)} files, {len(content):,} bytes")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")

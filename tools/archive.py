"""Write a zip file whose bytes depend on nothing but its contents."""

import hashlib
import zipfile
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parents[1] / "course_utils" / "data" / "archives"


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write `files` to a zip file, the same bytes on every machine, and print its checksum.

    The entries are sorted, dated 1980 and stored as they are: images are compressed already, and a
    compressor's output would differ from one version of zlib to the next.

    Args:
        path: The zip file to write.
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
    content = path.read_bytes()
    print(f"{path.name}: {len(files)} files, {len(content):,} bytes")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")

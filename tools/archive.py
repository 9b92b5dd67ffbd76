"""Write the archives of images that come with the package."""

import hashlib
import zipfile
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parents[1] / "course_utils" / "archives"


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write contents by name to a zip file, the same bytes on every machine; print its checksum.

    The entries are sorted, dated 1980 and not compressed: images are compressed already, and the
    output of a compressor depends on the version of zlib.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # the default is different on Windows
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    content = path.read_bytes()
    print(f"{path.name}: {len(files)} files, {len(content):,} bytes")
    print(f"sha256 {hashlib.sha256(content).hexdigest()}")

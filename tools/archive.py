"""Write the archives of images that come with the package."""

import hashlib
import zipfile
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parents[1] / "course_utils" / "archives"


def write_archive(path: Path, files: dict[str, bytes]) -> None:
    """Write contents by name to a reproducible zip file; print its checksum.

    Entries are sorted, dated 1980 and not compressed: images are already compressed, and the
    compressed bytes would depend on the version of zlib.
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

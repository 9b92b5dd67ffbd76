"""Zip files whose bytes depend on nothing but their contents."""

import zipfile
from collections.abc import Mapping
from pathlib import Path


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

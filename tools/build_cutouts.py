"""Make cutouts.zip from Tux Paint's stamps.

    python tools/build_cutouts.py FOLDER

FOLDER is the folder `stamps` of Tux Paint's stamps collection: install Debian's package
tuxpaint-stamps-default and give /usr/share/tuxpaint/stamps, or take the source from
https://tuxpaint.org. The result is the same byte for byte with version 2022.06.04 of the stamps
and the Pillow version that requirements.txt pins.
"""

import argparse
import hashlib
import io
from pathlib import Path

from archive import ARCHIVES, write_archive
from PIL import Image

LONGEST_SIDE = 160  # pixels

CLASSES = {
    "birds": ["animals/birds"],
    "flowers": ["plants/flowers"],
    "fruit": ["food/fruit"],
    "mammals": ["animals/mammals", "animals/marsupials"],
    "vegetables": ["food/vegetables", "food/spices", "plants/mushrooms"],
    "vehicles": ["vehicles", "military/vehicles"],
}
# Subfolders and files that are no photographs of the thing itself, chosen by eye.
NO_PHOTOGRAPHS = {"cartoon", "toys", "plastic"}
LEFT_OUT = {
    "7spoke256": "a drawn wheel",
    "albino_peahen": "sits in grass that was cut out with it",
    "chineseJunk": "a drawing",
    "echidna": "a black drawing",
    "hedgehog": "a cartoon",
    "sedan_police": "an overlay, not a car",
    "walnutBoat": "a toy made of a walnut shell",
    "wheel_tractor": "a wheel, not a vehicle",
}


def stamps(folder: Path) -> list[Path]:
    """List the photographs below a folder of stamps, in a fixed order.

    Args:
        folder: A folder of the collection.

    Returns:
        PNG files without drawings, mirrored copies, and what `LEFT_OUT` names.
    """
    return [
        path
        for path in sorted(folder.rglob("*.png"), key=lambda path: path.as_posix())
        if not NO_PHOTOGRAPHS & set(path.parts)
        and not path.stem.endswith(("_mirror", "_flip"))
        and path.stem not in LEFT_OUT
    ]


def cut_out(path: Path) -> bytes:
    """Crop a stamp to what is visible of it and shrink it to `LONGEST_SIDE`.

    Args:
        path: A PNG file with transparency.

    Returns:
        The bytes of a WebP file with an alpha channel.
    """
    with Image.open(path) as stamp:
        image = stamp.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=6)
    return buffer.getvalue()


def split_names(names: list[str]) -> dict[str, list[str]]:
    """Divide the names of one class into train, val and test (60, 20 and 20 %).

    The order comes from a checksum of the names, so that no random generator has to stay the same
    for the split to stay the same.

    Args:
        names: The names of one class.

    Returns:
        The names by split.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = round(0.2 * len(shuffled))
    return {
        "test": shuffled[:held_out],
        "val": shuffled[held_out : 2 * held_out],
        "train": shuffled[2 * held_out :],
    }


def main() -> None:
    """Read the command line and build the archive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the folder `stamps` of the collection")
    parser.add_argument("--output", type=Path, default=ARCHIVES / "cutouts.zip")
    arguments = parser.parse_args()

    files = {}
    for label, folders in CLASSES.items():
        found = [path for folder in folders for path in stamps(arguments.folder / folder)]
        if not found:
            parser.error(f"{arguments.folder} has no stamps in {folders[0]}.")
        by_name = {path.stem.lower().replace("_", "-"): path for path in found}
        for split, names in split_names(list(by_name)).items():
            for name in names:
                files[f"{split}/{label}/{name}.webp"] = cut_out(by_name[name])
    write_archive(arguments.output, files)


if __name__ == "__main__":
    main()

"""Build cutouts.zip from Tux Paint's stamps.

    python -m tools.build_cutouts FOLDER

FOLDER is the folder `stamps` of Tux Paint's stamps collection: install Debian's package
tuxpaint-stamps-default and use /usr/share/tuxpaint/stamps, or download the source from
https://tuxpaint.org. The result is identical byte for byte with version 2022.06.04 of the stamps
and Pillow 13.0; Pillow 12.3 encodes six of the 187 images differently.
"""

import hashlib
import io
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from tools.archive import ARCHIVES, write_archive

LONGEST_SIDE = 160  # pixels

CLASSES = {
    "birds": ["animals/birds"],
    "flowers": ["plants/flowers"],
    "fruit": ["food/fruit"],
    "mammals": ["animals/mammals", "animals/marsupials"],
    "vegetables": ["food/vegetables", "food/spices", "plants/mushrooms"],
    "vehicles": ["vehicles", "military/vehicles"],
}
# Subfolders and files that are not photographs of the object itself, selected manually.
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
    """List the photographs of a folder, without drawings, mirrored copies and `LEFT_OUT`."""
    return [
        path
        for path in sorted(folder.rglob("*.png"), key=lambda path: path.as_posix())
        if not NO_PHOTOGRAPHS & set(path.parts)
        and not path.stem.endswith(("_mirror", "_flip"))
        and path.stem not in LEFT_OUT
    ]


def cut_out(path: Path) -> bytes:
    """Crop a stamp to its visible part, shrink it to `LONGEST_SIDE`, and encode it as WebP."""
    with Image.open(path) as stamp:
        image = stamp.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90, method=6)
    return buffer.getvalue()


def split_names(names: list[str]) -> dict[str, list[str]]:
    """Split the names of one class into train, val and test (60, 20 and 20 %).

    Names are sorted by checksum, so that the split does not depend on a random generator.
    """
    shuffled = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    held_out = round(0.2 * len(shuffled))
    return {
        "test": shuffled[:held_out],
        "val": shuffled[held_out : 2 * held_out],
        "train": shuffled[2 * held_out :],
    }


def main(
    folder: Annotated[Path, typer.Argument(help="The folder `stamps` of the collection.")],
    output: Path = ARCHIVES / "cutouts.zip",
) -> None:
    """Build cutouts.zip from Tux Paint's stamps."""
    files = {}
    for label, folders in CLASSES.items():
        found = [path for name in folders for path in stamps(folder / name)]
        if not found:
            raise typer.BadParameter(f"{folder} has no stamps in {folders[0]}.")
        by_name = {path.stem.lower().replace("_", "-"): path for path in found}
        for split, names in split_names(list(by_name)).items():
            for name in names:
                files[f"{split}/{label}/{name}.webp"] = cut_out(by_name[name])
    write_archive(output, files)


if __name__ == "__main__":
    typer.run(main)

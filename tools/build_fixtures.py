"""Write the small folder of photographs for the tests, from the dataset cutouts.

    python -m tools.build_fixtures

The first images of three classes are saved as JPEG files on white, in a folder without splits.
"""

import shutil
import tempfile
from pathlib import Path

from course_utils.catalog import prepare_dataset
from course_utils.image_io import image_files, load_image

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "photos"
CLASSES = ("birds", "fruit", "vehicles")
IMAGES_PER_CLASS = 8


def main() -> None:
    """Replace the folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        source = prepare_dataset("cutouts", Path(scratch))
        for name in CLASSES:
            (FOLDER / name).mkdir(parents=True)
            for path in image_files(source / "train" / name)[:IMAGES_PER_CLASS]:
                load_image(path).save(FOLDER / name / f"{Path(path).stem}.jpg", quality=85)


if __name__ == "__main__":
    main()

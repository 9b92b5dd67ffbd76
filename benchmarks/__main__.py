"""Run the comparisons: `python -m benchmarks --help`."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks import (
    course,
    features,
    feeding,
    labels,
    solar,
    step,
    timing,
    to_accuracy,
    transfer,
    vit,
)
from course_utils.errors import DataError
from course_utils.paths import display_path, output_folder

COMPARISONS = {
    "fashion": to_accuracy.fashion_mnist,
    "cifar": to_accuracy.cifar10,
    "feeding": feeding.compare,
    "step": step.compare,
    "transfer": transfer.compare,
    "features": features.compare,
    "labels": labels.compare,
    "course": course.compare,
    "vit": vit.compare,
    "solar": solar.compare,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each contender")
    parser.add_argument(
        "--long-rounds",
        type=int,
        default=1,
        help="repetitions of fashion, cifar, vit and solar (minutes)",
    )
    parser.add_argument(
        "--short", action="store_true", help="skip our own long training runs of fashion and cifar"
    )
    parser.add_argument(
        "--fashion-mnist", type=Path, help="a folder with the four IDX files (default: download)"
    )
    parser.add_argument(
        "--cifar10", type=Path, help="a folder with train/ and test/ (default: download)"
    )
    return parser.parse_args()


def main() -> None:
    """Run the selected comparisons, print a table and write build/bench/results.json."""
    options = arguments()
    found: list[timing.Row] = []
    about = timing.machine()
    file = output_folder("bench") / "results.json"
    for name in options.only:
        print(f"{name}:", flush=True)
        try:
            found += COMPARISONS[name](options)
        except DataError as error:
            print(f"    skipped: {error}")
        content = {"machine": about, "results": [asdict(row) for row in found]}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("\n" + "\n".join(f"{key}: {value}" for key, value in about.items()) + "\n")
    print(timing.table(found) if found else "nothing was measured")
    print(f"\nwritten to {display_path(file)}")


if __name__ == "__main__":
    main()

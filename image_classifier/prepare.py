"""From a folder of one's own photographs to a checked and divided dataset, with a data card.

>>> prepare_folder("photos", "photos-tidy")  # one subfolder a class in, train/, val/ and test/ out
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from course_utils.archive import complete_or_nothing
from course_utils.datasets import has_splits, image_folder, stratified_split
from course_utils.errors import DataError
from course_utils.health import check_folder

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
CARD = "DATA_CARD.md"


def prepare_folder(source: str | Path, target: str | Path, seed: int = 0) -> pd.DataFrame:
    """Copy the good images of a folder, divided into training, validation and test sets.

    Left out are files that cannot be read, second copies of an image, and images that lie in two
    classes, since nobody knows which label is right. Images that look almost the same go into the
    same set: otherwise the test would ask for what was trained on. The copies are the files as
    they are, with all that the camera wrote into them.

    Args:
        source: A folder with one subfolder a class. It is not changed.
        target: The folder to make; it holds train/, val/ and test/ and a data card.
        seed: Of the division.

    Returns:
        One row an image: file (relative to the source), class, set ("train", "val", "test" or "left
        out") and why.

    Raises:
        DataError: The source has no such form or is divided already, the target exists, or too
            few images are left.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise DataError(f"{target} exists already; give a folder that does not.")
    dataset = image_folder(source)
    if has_splits(source):
        raise DataError(f"{source} is divided already.")
    findings = check_folder(source)
    files = [Path(path).relative_to(source).as_posix() for path, _ in dataset.samples]
    reasons = _reasons(findings)
    kept = [file for file in files if file not in reasons]
    groups = _groups(kept, findings)
    label_of = dict(zip(files, dataset.targets, strict=True))
    few = Counter(label_of[group[0]] for group in groups)
    for label, name in enumerate(dataset.classes):
        if few[label] < len(FRACTIONS):
            raise DataError(
                f"{name} has {few[label]} different good images, too few for three sets: add "
                f"images or leave the class out."
            )
    parts = stratified_split([label_of[group[0]] for group in groups], FRACTIONS, seed)
    set_of = {file: part for part, chosen in parts.items() for n in chosen for file in groups[n]}
    table = pd.DataFrame(
        {
            "file": files,
            "class": [dataset.classes[label] for label in dataset.targets],
            "set": [set_of.get(file, "left out") for file in files],
            "why": [reasons.get(file, "") for file in files],
        }
    )
    try:
        with complete_or_nothing(target) as scratch:
            for row in table[table["set"] != "left out"].itertuples():
                place = scratch / row.set / row.file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / row.file, place)
            card = _card(target.name, table, findings, seed)
            (scratch / CARD).write_text(card, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target} could not be written: {error.strerror or error}.") from error
    return table


def _reasons(findings: pd.DataFrame) -> dict[str, str]:
    """Say of each file that is left out why."""
    reasons = {}
    for row in findings.itertuples():
        if row.problem == "unreadable":
            reasons[row.file] = f"unreadable: {row.detail}"
        elif row.problem == "duplicate":
            reasons[row.file] = row.detail
        elif row.problem == "duplicate across classes":
            other = row.detail.removeprefix("same as ")
            reasons[row.file] = f"in two classes: {row.detail}"
            reasons[other] = f"in two classes: same as {row.file}"
    return reasons


def _groups(files: Sequence[str], findings: pd.DataFrame) -> list[list[str]]:
    """Put files that look almost the same into one group; most groups have one file."""
    leader = {file: file for file in files}

    def first(file: str) -> str:
        while leader[file] != file:
            file = leader[file]
        return file

    for row in findings[findings["problem"].str.startswith("near duplicate")].itertuples():
        other = row.detail.removeprefix("same as ")
        if row.file in leader and other in leader:
            leader[first(row.file)] = first(other)
    groups: dict[str, list[str]] = {}
    for file in files:
        groups.setdefault(first(file), []).append(file)
    return list(groups.values())


def _card(name: str, table: pd.DataFrame, findings: pd.DataFrame, seed: int) -> str:
    """Write what a user of the data should know."""
    kept = table[table["set"] != "left out"]
    counts = kept.groupby(["class", "set"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(FRACTIONS), fill_value=0)
    lines = ["| class | train | val | test |", "| --- | --- | --- | --- |"]
    lines += [f"| {row[0]} | {row[1]} | {row[2]} | {row[3]} |" for row in counts.itertuples()]
    out = table[table["set"] == "left out"]
    left_out = [f"- {row.file}: {row.why}" for row in out.itertuples()] or ["- nothing"]
    others = findings[~findings["file"].isin(out["file"])]["problem"].value_counts(sort=False)
    seen = [f"- {problem}: {count}" for problem, count in others.items() if count] or ["- nothing"]
    return "\n".join(
        [
            f"# Data card: {name}",
            "",
            f"{len(kept)} images of {len(counts)} classes, divided at random (seed {seed}) so that "
            "each set has the same mix of classes. Images that look almost the same are in the "
            "same set.",
            "",
            *lines,
            "",
            "## Left out",
            "",
            *left_out,
            "",
            "## What the health check also saw",
            "",
            *seen,
            "",
            "## To be filled in by you",
            "",
            "- Who took the pictures, when, where, and with what?",
            "- Did everybody who is in them agree?",
            "- Under which license may others use them?",
            "- What is missing: light, seasons, backgrounds, sizes that occur in use but not here?",
            "",
        ]
    )

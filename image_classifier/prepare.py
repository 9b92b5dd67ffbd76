"""Turn a folder of photographs into a checked and split dataset with a data card."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from course_utils.datasets import has_splits, image_folder, stratified_split
from course_utils.errors import DataError
from course_utils.health import check_folder
from course_utils.image_io import printable
from image_classifier.report import markdown

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
CARD = "DATA_CARD.md"
LEFT_OUT = "left out"


def prepare_folder(source: str | Path, target: str | Path, seed: int = 0) -> pd.DataFrame:
    """Copy the usable images of a folder into training, validation and test sets.

    Unreadable files, exact duplicates, and images that appear in two classes are left out.
    Near-duplicates go into the same set. The files themselves are not changed.

    Args:
        source: A folder with one subfolder per class.
        target: The folder to create.
        seed: Of the split.

    Returns:
        One row per image: file (relative to `source`), class, set ("train", "val", "test" or "left
        out"), and why it was left out.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise DataError(f"{target} already exists. Choose a new folder with --output.")
    dataset = image_folder(source)
    if has_splits(source):
        raise DataError(f"{source} already has splits.")
    findings = check_folder(source)
    table = pd.DataFrame(
        {
            "file": [Path(path).relative_to(source).as_posix() for path, _ in dataset.samples],
            "class": [dataset.classes[label] for label in dataset.targets],
        }
    )
    table["why"] = table["file"].map(_reasons(findings)).fillna("")
    table["group"] = _groups(list(table["file"]), findings)
    table.insert(2, "set", _assign_sets(table, dataset.classes, seed))
    table = table.drop(columns="group")
    try:
        _copy(source, target, table, _data_card(target.name, table, findings, seed))
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from error
    return table


def _reasons(findings: pd.DataFrame) -> dict[str, str]:
    """Explain for each file that is left out why."""
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


def _groups(files: list[str], findings: pd.DataFrame) -> np.ndarray:
    """Number the groups of near-duplicates: the connected components of all pairs found."""
    index = {file: number for number, file in enumerate(files)}
    pairs = findings[findings["problem"].str.contains("duplicate")]
    rows = pairs["file"].map(index)
    columns = pairs["detail"].str.removeprefix("same as ").map(index)
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(files), len(files)))
    return connected_components(graph, directed=False)[1]


def _assign_sets(table: pd.DataFrame, classes: list[str], seed: int) -> pd.Series:
    """Split the groups of each class at random; a group never spans two sets."""
    groups = table[table["why"] == ""].drop_duplicates("group")
    for name, count in groups["class"].value_counts().reindex(classes, fill_value=0).items():
        if count < len(FRACTIONS):
            raise DataError(
                f"Class {printable(name)!r} has {count} different usable images, but needs at "
                f"least {len(FRACTIONS)}. Add images or remove the class."
            )
    parts = stratified_split([classes.index(name) for name in groups["class"]], FRACTIONS, seed)
    numbers = groups["group"].to_numpy()
    set_of = {numbers[index]: part for part, chosen in parts.items() for index in chosen}
    return table["group"].map(set_of).where(table["why"] == "", LEFT_OUT)


def _copy(source: Path, target: Path, table: pd.DataFrame, card: str) -> None:
    """Write the target completely or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
        folder = Path(scratch) / target.name
        for row in table[table["set"] != LEFT_OUT].itertuples():
            copy = folder / row.set / row.file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / row.file, copy)
        (folder / CARD).write_text(card, encoding="utf-8")
        folder.rename(target)


def _data_card(name: str, table: pd.DataFrame, findings: pd.DataFrame, seed: int) -> str:
    """Describe the dataset in Markdown (Gebru et al. 2018)."""
    kept, left_out = table[table["set"] != LEFT_OUT], table[table["set"] == LEFT_OUT]
    counts = pd.crosstab(kept["class"], kept["set"])[list(FRACTIONS)]
    others = findings[~findings["file"].isin(left_out["file"])]["problem"].value_counts(sort=False)
    sections = {
        "Images": [
            f"{len(kept)} images of {len(counts)} classes, split at random (seed {seed}) with the "
            "same proportion of classes in each set. Near-duplicates are in the same set.",
            *(f"{name}: {a} train, {b} val, {c} test" for name, a, b, c in counts.itertuples()),
        ],
        "Left out": [f"{row.file}: {row.why}" for row in left_out.itertuples()],
        "Other findings of the health check": [f"{name}: {n}" for name, n in others.items() if n],
        "To be filled in by you": [
            "Who took the photographs, when, where, and with what?",
            "Did everybody who appears in them agree?",
            "Under which license may others use them?",
            "What occurs in use but not here: lighting, seasons, backgrounds, sizes?",
        ],
    }
    return markdown(f"Data card: {name}", sections)

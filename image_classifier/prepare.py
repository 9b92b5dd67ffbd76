"""Check and split a folder of photographs, and write a data card."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from course_utils.datasets import image_folder, split_folders, stratified_split
from course_utils.errors import DataError
from course_utils.health import check_folder
from course_utils.image_io import is_image_name, printable
from image_classifier.evaluate import refuse_inside
from image_classifier.report import markdown

FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}
CARD = "DATA_CARD.md"
LEFT_OUT = "left out"
IGNORED = "ignored file"
OUTSIDE = "outside the class folders"


def prepare_folder(source: str | Path, target: str | Path, seed: int = 0) -> pd.DataFrame:
    """Copy the usable images of a folder into training, validation and test sets.

    Files that cannot be read, exact duplicates, and images that appear in two classes, exactly or
    as near duplicates, are left out. Near duplicates go into the same set. `source` is unchanged.

    Args:
        source: A folder with one subfolder per class.
        target: The folder to create.
        seed: The random seed of the split.

    Returns:
        One row per image file: file (relative to `source`), class ("" outside a class folder), set
        ("train", "val", "test" or "left out"), and why it was left out.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise DataError(f"{target} already exists. Choose a new folder with --output.")
    refuse_inside(target, source)
    dataset = image_folder(source)
    if split_folders(source):
        raise DataError(f"{source} is already split. Merge its sets if you want to split it again.")
    findings = check_folder(source)
    files = [Path(path).relative_to(source).as_posix() for path, _ in dataset.samples]
    files += findings.loc[findings["problem"] == IGNORED, "file"].tolist()
    files += sorted(path.name for path in source.iterdir() if _is_loose(path))
    table = pd.DataFrame({"file": files})
    table["class"] = [file.split("/")[0] if "/" in file else "" for file in files]
    table["group"] = _groups(files, findings, "duplicate")
    reasons = _reasons(table, findings)
    table["why"] = [reasons.get(file, "") for file in files]
    table.insert(2, "set", _assign_sets(table, dataset.classes, seed))
    table = table.drop(columns="group")
    try:
        _copy(source, target, table, _data_card(target.name, table, findings, seed))
    except OSError as error:
        raise DataError(f"{target} cannot be written: {error.strerror or error}.") from error
    return table


def _is_loose(path: Path) -> bool:
    """Return whether a path is an image outside the class folders."""
    return is_image_name(path.name) and not path.is_dir()


def _groups(files: list[str], findings: pd.DataFrame, problem: str) -> np.ndarray:
    """Number the groups of (near) duplicates: the connected components of all pairs found."""
    index = {file: number for number, file in enumerate(files)}
    pairs = findings[findings["problem"].str.contains(problem)]
    rows = pairs["file"].map(index)
    columns = pairs["detail"].str.removeprefix("same as ").map(index)
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(files), len(files)))
    return connected_components(graph, directed=False)[1]


def _reasons(table: pd.DataFrame, findings: pd.DataFrame) -> dict[str, str]:
    """Return the reason for each file that is left out."""
    reasons = {file: OUTSIDE for file in table.loc[table["class"] == "", "file"]}
    for row in findings.itertuples():
        if row.problem == "unreadable":
            name = printable(Path(row.file).name)
            reasons[row.file] = row.detail.removeprefix(f"{name} ").rstrip(".")
        elif row.problem == IGNORED:
            reasons[row.file] = f"unsupported format; {row.detail}"
        elif row.problem == "duplicate":
            reasons[row.file] = row.detail
    exact = table.assign(group=_groups(list(table["file"]), findings, "^duplicate"))
    for relation, grouped in (("near duplicate of", table), ("same as", exact)):
        firsts = grouped.drop_duplicates(["group", "class"])
        pairs = grouped.merge(firsts, on="group", suffixes=("", "2"))
        pairs = pairs[pairs["class"] != pairs["class2"]].drop_duplicates("file")
        for file, other in zip(pairs["file"], pairs["file2"], strict=True):
            reasons[file] = f"in two classes: {relation} {other}"
    return reasons


def _assign_sets(table: pd.DataFrame, classes: list[str], seed: int) -> pd.Series:
    """Split the groups of each class at random; a group never spans two sets."""
    groups = table[table["why"] == ""].drop_duplicates("group")
    for name, count in groups["class"].value_counts().reindex(classes, fill_value=0).items():
        if count < len(FRACTIONS):
            raise DataError(
                f"Class {name!r} has {count} different usable images (near duplicates count as "
                f"one), but needs at least {len(FRACTIONS)}. Add images or remove the class."
            )
    parts = stratified_split([classes.index(name) for name in groups["class"]], FRACTIONS, seed)
    numbers = groups["group"].to_numpy()
    set_of = {numbers[index]: part for part, chosen in parts.items() for index in chosen}
    return table["group"].map(set_of).where(table["why"] == "", LEFT_OUT)


def _copy(source: Path, target: Path, table: pd.DataFrame, card: str) -> None:
    """Write the target completely or not at all."""
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    with tempfile.TemporaryDirectory(dir=parent, prefix=".prepare-") as scratch:
        folder = Path(scratch) / target.name
        for row in table[table["set"] != LEFT_OUT].itertuples():
            copy = folder / row.set / row.file
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / row.file, copy)
        (folder / CARD).write_text(card, encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)


def _data_card(name: str, table: pd.DataFrame, findings: pd.DataFrame, seed: int) -> str:
    """Describe the dataset in Markdown (Gebru et al. 2018)."""
    kept, left_out = table[table["set"] != LEFT_OUT], table[table["set"] == LEFT_OUT]
    counts = pd.crosstab(kept["class"], kept["set"])[list(FRACTIONS)]
    listed = findings["file"].isin(left_out["file"]) | findings["problem"].str.contains("outside")
    others = findings.loc[~listed, "problem"].value_counts(sort=False)
    sections = {
        "Images": [
            f"{len(kept)} images of {len(counts)} classes, split at random (seed {seed}) and "
            "stratified by class. Near duplicates are in the same set; images that have one in "
            "another class were left out because their labels are doubtful.",
            *(f"{name}: {a} train, {b} val, {c} test" for name, a, b, c in counts.itertuples()),
        ],
        "Left out": [f"{row.file}: {row.why}" for row in left_out.itertuples()],
        "Other findings of the health check": [f"{name}: {n}" for name, n in others.items() if n],
        "To be filled in by you": [
            "Who took the photographs, when, where, and with what?",
            "Did everyone who appears in them consent?",
            "Under which license may others use them?",
            "What will differ in use: lighting, seasons, backgrounds, sizes?",
        ],
    }
    sections = {heading: items or ["none"] for heading, items in sections.items()}
    return markdown(f"Data card: {name}", sections)

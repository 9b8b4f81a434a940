"""Readers of the forms in which labelled head CT comes: a folder to images with labels.

`read` looks at a folder and picks the reader: our `slices.csv` form, a DICOM tree with a label table, or class
folders (TEKNOFEST 2021 in all its forms, Kaggle Normal/Stroke, train/validation/test; see `folders`). No pixel is
decoded here and no DICOM tag is read: patients come from folders, tables and file names alone.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from strokenext.errors import DataError

from .manifest import Scalar

#: Labels in words to (presence, subtype).
CLASSES: dict[str, tuple[int, int | None]] = {
    "normal": (0, None),
    "stroke": (1, None),
    "ischemic": (1, 0),
    "hemorrhagic": (1, 1),
}


@dataclass(frozen=True)
class Found:
    """An image with what its source says of it, before it is opened."""

    file: Path
    source: str
    presence: int | None = None
    subtype: int | None = None
    patient: str | None = None
    evaluation_only: bool = False
    extra: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """What a reader made of a folder: the images, and the files it left out with the reason of each."""

    form: str
    images: tuple[Found, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def read(name: str, folder: str | Path, labels: str | Path | None = None) -> Reading:
    """Read a folder under the source name given. `labels` is a CSV for a tree whose folders name no classes.

    Raises DataError when the folder does not exist or holds nothing that a reader understands.
    """
    from . import class_folders as folders

    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Give --source NAME=FOLDER.")
    if labels is not None:
        reading = _read_tree_with_table(name, root, Path(labels))
    elif (root / "slices.csv").is_file():
        reading = _read_slices_csv(name, root)
    else:
        reading = folders.read_class_folders(name, root)
    if not reading.images:
        raise DataError(
            f"No labelled image was found in {root}. Expected slices.csv, class folders such as Normal and Stroke, "
            "or --labels with a table of files and labels."
        )
    return reading


# --- our own form -------------------------------------------------------------------------------------------------


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def _read_slices_csv(name: str, root: Path) -> Reading:
    """`slices.csv` of ../shared/data or of the same columns; which caveats apply is decided by the columns."""
    rows = _rows(root / "slices.csv")
    columns = set(rows[0]) if rows else set()
    if {"hemorrhage", "label_trust"} <= columns:
        made, form = [_ct_ich(name, root, r) for r in rows], "slices.csv with hemorrhage per slice (ct_ich)"
    elif "edema_pixels" in columns:
        annotated = _annotated(rows)
        made = [_phe_sich(name, root, r, annotated.get(r["patient"], [])) for r in rows]
        form = "slices.csv with edema masks (phe_sich)"
    elif {"image", "label"} <= columns:
        made, form = [_labelled_row(name, root, r) for r in rows], "slices.csv with labels"
    else:
        raise DataError(f"{root / 'slices.csv'} needs the columns image and label, or those of ct_ich or phe_sich.")
    images, left_out = [], []
    for row, found in zip(rows, made, strict=True):
        if isinstance(found, str):
            left_out.append((row["image"], found))
        elif not found.file.is_file():
            left_out.append((row["image"], "the table names it and it is not there"))
        else:
            images.append(found)
    return Reading(form, tuple(images), tuple(left_out))


def _ct_ich(name: str, root: Path, row: dict[str, str]) -> Found | str:
    """Head trauma: `hemorrhage` is about THIS slice; `patient_label` covers whole patients and is not used."""
    if row["label_trust"] == "doubtful":
        return "the patient's slice labels are doubtful"
    bleeds = int(row["hemorrhage"])
    extra: dict[str, Scalar] = {"types": row["types"], "fracture": int(row["fracture"]), "slice": int(row["slice"])}
    return Found(root / row["image"], name, bleeds, 1 if bleeds else None, f"{name}/{row['patient']}", extra=extra)


def _unusable(row: dict[str, str]) -> str | None:
    """Why a phe_sich slice is left out; None for one that is kept."""
    if row["near_blank"] == "1":
        return "near blank"
    return f"exact repeat of {row['duplicate_of']}" if row["duplicate_of"] else None


def _annotated(rows: Sequence[dict[str, str]]) -> dict[str, list[int]]:
    """Patient to the numbers of the slices whose edema was outlined."""
    shown: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if _unusable(row) is None and int(row["edema_pixels"]) > 0:
            shown[row["patient"]].append(int(row["slice"]))
    return shown


def _phe_sich(name: str, root: Path, row: dict[str, str], annotated: Sequence[int]) -> Found | str:
    """Every patient bleeds; a slice with edema shows blood, one without is not annotated and so has no label.

    `away` counts the slices to the nearest annotated one: far from it, a slice most likely shows no blood.
    """
    reason = _unusable(row)
    if reason is not None:
        return reason
    shown = int(row["edema_pixels"]) > 0
    extra: dict[str, Scalar] = {"slice": int(row["slice"])}
    if annotated:
        extra["away"] = min(abs(int(row["slice"]) - other) for other in annotated)
    if shown:
        extra |= {"types": "intraparenchymal", "lesion_pixels": int(row["edema_pixels"])}
        extra |= {"mask": row["edema_mask"], "mask_of": "perihematomal edema"}
    else:
        extra["unlabelled"] = "a bleeding patient's slice without annotation: neither normal nor proven to bleed"
    label = 1 if shown else None
    return Found(root / row["image"], name, label, label, f"{name}/{row['patient']}", extra=extra)


def _labelled_row(name: str, root: Path, row: dict[str, str]) -> Found | str:
    """`label` in words. Rows of `lesion_masks` name their own source; those and their patients are for evaluation."""
    from .class_folders import class_of

    label = class_of(row["label"])
    if label is None:
        return f"the label '{row['label']}' is none of {', '.join(CLASSES)}"
    presence, subtype = CLASSES[label]
    source = row.get("source") or name
    patient = row.get("patient") or ""
    if patient.endswith("?"):  # AISD slices without a patient id: they could be anyone's, so they stay together
        patient = "unnamed"
    extra: dict[str, Scalar] = {}
    if row.get("mask"):
        kind = "infarct" if subtype == 0 else "blood"
        extra |= {"mask": row["mask"], "lesion_pixels": int(row.get("lesion_pixels") or 0), "mask_of": kind}
    if row.get("note"):
        extra["note"] = row["note"]
    only = source in ("aisd", "mbh") or row.get("use") in ("test", "evaluation")
    owner = f"{source}/{patient}" if patient else None
    return Found(root / row["image"], source, presence, subtype, owner, only, extra)


# --- a tree with a label table ------------------------------------------------------------------------------------

#: Columns that name a file, its folder (a patient, a series), or either.
_FILES, _FOLDERS, _EITHER = ("path", "file", "image", "filename"), ("folder", "series", "patient"), ("name", "id")
#: Columns with a label, and what the numbers 0 and 1 mean in each.
_LABELS = {
    "label": ("normal", "stroke"), "class": ("normal", "stroke"), "diagnosis": ("normal", "stroke"),
    "subtype": ("ischemic", "hemorrhagic"), "presence": ("normal", "stroke"),
}  # fmt: skip
_Row = Mapping[str, str]


def _read_tree_with_table(name: str, root: Path, table: Path) -> Reading:
    """DICOM (or picture) tree; a row applies to the file or to the enclosing folder that its key column names.

    Raises DataError where two rows could be meant by one file, or one bare file name by files of several folders:
    a label on the wrong slice is worse than none.
    """
    if not table.is_file():
        raise DataError(f"There is no label table at {table}.")
    rows = [{(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if k} for row in _rows(table)]
    columns, keys = set(rows[0]) if rows else set(), (*_FILES, *_EITHER, *_FOLDERS)
    key = next((k for k in keys if k in columns), None)
    if key is None or not columns & set(_LABELS):
        raise DataError(f"{table} needs a column among {', '.join(keys)} and one among {', '.join(_LABELS)}.")
    files = sorted(p for p in root.rglob("*") if p.is_file() and p != table.resolve() and not _hidden(p, root))
    folders = {folder.name for file in files for folder in file.relative_to(root).parents if folder.name}
    patients = folders & {row.get("patient", "") for row in rows}
    named: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        named[row[key].strip("/")].append(row)
    images, left_out = [], []
    bare: dict[str, set[Path]] = defaultdict(set)
    for file in files:
        relative = file.relative_to(root)
        called, meant = _meant(relative, named, key, by_patient=bool(patients) and key != "patient")
        bare[called] |= {relative.parent} if called in (relative.name, relative.stem) and not patients else set()
        if len({(_label(row), row.get("patient")) for row in meant}) > 1 or len(bare[called]) > 1:
            raise DataError(f"In {table} '{called}' does not say which file it means: {relative.as_posix()} is one of "
                            "several. Add a column path with each file's path under the folder.")  # fmt: skip
        text, word = _label(meant[0]) if meant else ("", None)
        if word is None:
            reason = f"the label '{text}' is not understood" if meant else "no row of the label table names it"
            left_out.append((relative.as_posix(), reason))
            continue
        presence, subtype = CLASSES[word]
        patient = meant[0].get("patient") or (relative.parts[0] if len(relative.parts) > 1 else "")
        images.append(Found(file, name, presence, subtype, f"{name}/{patient}" if patient else None))
    return Reading("a tree with a label table", tuple(images), tuple(left_out))


def _meant(
    relative: Path, named: Mapping[str, Sequence[_Row]], key: str, by_patient: bool
) -> tuple[str, Sequence[_Row]]:
    """What the table calls a file, and those rows; `by_patient`: of a bare file name only the rows of its patient."""
    above = {folder.name for folder in relative.parents}
    for called in _names(relative, key):
        rows = named.get(called, ())
        if by_patient and called in (relative.name, relative.stem):
            rows = [row for row in rows if row.get("patient") in above]
        if rows:
            return called, rows
    return "", ()


def _names(relative: Path, key: str) -> Iterator[str]:
    """What a column may call a file, the most exact first: its path, name, stem, then its folders from the inside."""
    if key not in _FOLDERS:
        yield from (relative.as_posix(), relative.name, relative.stem)
    for folder in relative.parents:
        if folder != Path(".") and key not in _FILES:
            yield from (folder.as_posix(), folder.name)


def _label(row: _Row) -> tuple[str, str | None]:
    """A row's label as it stands there and as a word of CLASSES; a `presence` that says normal counts alone."""
    from .class_folders import class_of

    said = {
        column: (text, class_of({"0": numbers[0], "1": numbers[1]}.get(text, text)))
        for column, numbers in _LABELS.items()
        if (text := row.get(column, ""))
    }
    presence = said.get("presence", ("", None))
    return presence if presence[1] == "normal" else next(iter(said.values()), presence)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in file.relative_to(root).parts)

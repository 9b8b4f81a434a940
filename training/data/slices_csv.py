"""`slices.csv`: our own form, a row an image; which caveats apply is decided by the columns."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from strokenext.errors import DataError

from .labels import BLOOD, EDEMA, INFARCT, LABELS, class_of
from .manifest import Scalar
from .reading import LabelledFile, LeftOut, Reading

TABLE = "slices.csv"


def read_slices_csv(name: str, root: Path) -> Reading:
    """The table of ct_ich, of phe_sich, or any with the columns image and label. Raises DataError for others."""
    rows = read_rows(root / TABLE)
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
        raise DataError(f"{root / TABLE} needs the columns image and label, or those of ct_ich or phe_sich.")
    images, left_out = [], []
    for row, one in zip(rows, made, strict=True):
        if isinstance(one, LeftOut):
            left_out.append(one)
        elif not one.file.is_file():
            left_out.append(LeftOut(row["image"], "the table names it and it is not there"))
        else:
            images.append(one)
    return Reading(form, tuple(images), tuple(left_out))


def read_rows(file: Path) -> list[dict[str, str]]:
    """A CSV's rows by column."""
    with file.open(newline="", encoding="utf-8-sig") as stream:
        return list(csv.DictReader(stream))


def _ct_ich(name: str, root: Path, row: dict[str, str]) -> LabelledFile | LeftOut:
    """Head trauma: `hemorrhage` is about THIS slice; `patient_label` covers whole patients and is not used."""
    if row["label_trust"] == "doubtful":
        return LeftOut(row["image"], "the patient's slice labels are doubtful")
    bleeds = int(row["hemorrhage"])
    extra: dict[str, Scalar] = {"types": row["types"], "fracture": int(row["fracture"]), "slice": int(row["slice"])}
    return LabelledFile(
        root / row["image"], name, bleeds, 1 if bleeds else None, f"{name}/{row['patient']}", extra=extra
    )


def _unusable(row: dict[str, str]) -> LeftOut | None:
    """A phe_sich slice that is left out; None for one that is kept."""
    if row["near_blank"] == "1":
        return LeftOut(row["image"], "near blank")
    return LeftOut(row["image"], "exact repeat", row["duplicate_of"]) if row["duplicate_of"] else None


def _annotated(rows: Sequence[dict[str, str]]) -> dict[str, list[int]]:
    """Patient to the numbers of the slices whose edema was outlined."""
    shown: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        if _unusable(row) is None and int(row["edema_pixels"]) > 0:
            shown[row["patient"]].append(int(row["slice"]))
    return shown


def _phe_sich(name: str, root: Path, row: dict[str, str], annotated: Sequence[int]) -> LabelledFile | LeftOut:
    """Every patient bleeds; a slice with edema shows blood, one without is not annotated and so has no label.

    `away` counts the slices to the nearest annotated one: far from it, a slice most likely shows no blood.
    """
    if (unusable := _unusable(row)) is not None:
        return unusable
    shown = int(row["edema_pixels"]) > 0
    extra: dict[str, Scalar] = {"slice": int(row["slice"])}
    if annotated:
        extra["away"] = min(abs(int(row["slice"]) - other) for other in annotated)
    if shown:
        extra |= {"types": "intraparenchymal", "lesion_pixels": int(row["edema_pixels"])}
        extra |= {"mask": row["edema_mask"], "mask_of": EDEMA}
    else:
        extra["unlabelled"] = "a bleeding patient's slice without annotation: neither normal nor proven to bleed"
    label = 1 if shown else None
    return LabelledFile(root / row["image"], name, label, label, f"{name}/{row['patient']}", extra=extra)


def _labelled_row(name: str, root: Path, row: dict[str, str]) -> LabelledFile | LeftOut:
    """`label` in words. Rows of `lesion_masks` name their own source; those and their patients are for evaluation."""
    label = class_of(row["label"])
    if label is None:
        return LeftOut(row["image"], f"the label '{row['label']}' is none of {', '.join(LABELS)}")
    presence, subtype = LABELS[label]
    source = row.get("source") or name
    patient = row.get("patient") or ""
    if patient.endswith("?"):  # AISD slices without a patient id: they could be anyone's, so they stay together
        patient = "unnamed"
    extra: dict[str, Scalar] = {}
    if row.get("mask"):
        kind = INFARCT if subtype == 0 else BLOOD
        extra |= {"mask": row["mask"], "lesion_pixels": int(row.get("lesion_pixels") or 0), "mask_of": kind}
    if row.get("note"):
        extra["note"] = row["note"]
    only = source in ("aisd", "mbh") or row.get("use") in ("test", "evaluation")
    owner = f"{source}/{patient}" if patient else None
    return LabelledFile(root / row["image"], source, presence, subtype, owner, only, extra)

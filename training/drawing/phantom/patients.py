"""Synthetic patients as a folder of pictures with a table, in the form of ct_ich: data to try a pipeline on.

`python -m training patients FOLDER` writes fourteen heads, every second one with a bleed. No patient is behind
any of them, and a model trained on them knows phantoms and nothing else.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import cv2

from strokenext.windows import BRAIN, apply, to_bytes

from .head import Kind, phantom_series

COLUMNS = ("image", "patient", "slice", "patient_label", "hemorrhage", "types", "fracture", "label_trust")
#: Kinds of head in turn: as many with a bleed as without.
KINDS: tuple[Kind, ...] = ("hemorrhage", "normal", "subdural", "normal")
#: A slice counts as bleeding when its lesion covers this share of it.
SHOWN = 0.0005


def write_patients(folder: Path, patients: int = 14, slices: int = 12, size: int = 112) -> Path:
    """Write `patients` heads of `slices` 8-bit brain-window pictures of `size` pixels and slices.csv; the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for patient in range(patients):
        kind = KINDS[patient % len(KINDS)]
        name = f"{patient + 1:03d}"
        for number, phantom in enumerate(phantom_series(kind, slices, size, seed=patient), 1):
            image = f"images/{name}_{number:02d}.png"
            bleeds = int(phantom.lesion.mean() > SHOWN)
            cv2.imwrite(str(folder / image), to_bytes(apply(phantom.hu, BRAIN)))
            label = "normal" if kind == "normal" else "stroke"
            rows.append((image, name, number, label, bleeds, kind if bleeds else "", 0, "phantom"))
    with (folder / "slices.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    return folder


def main(argv: Sequence[str]) -> int:
    """Write synthetic patients into a folder, in the form of ct_ich. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training patients", description=main.__doc__)
    p.add_argument("folder", type=Path)
    print(write_patients(p.parse_args(argv).folder))
    return 0

"""Class folders: TEKNOFEST 2021 in every published form, Kaggle Normal/Stroke, train/validation/test trees.

A folder's name is reduced to plain lower-case words (Unicode decomposed, accents and the Turkish dotless i removed),
so that `İskemi Veri Seti` in NFC, in NFD and `Iskemi Veri Seti` are one name. The innermost folder that names a class
decides; folders that only name a file kind (PNG, OVERLAY, DICOM) or a part (train, External_Test) do not.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from .labels import LABELS, NOISE, class_of, words
from .manifest import Scalar
from .reading import LabelledFile, LeftOut, Reading, files_below

_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_DICOM = (".dcm", ".dicom", ".ima", "")
_KINDS = {"overlay": "overlay", "overlays": "overlay", "mask": "mask", "masks": "mask", "maske": "mask"}
_PART_NAMES = {
    "train": ("train", "training", "egitim"),
    "validation": ("validation", "valid", "val", "dogrulama"),
    "test": ("test", "testing"),
    "external": ("external test", "external"),
}
_PARTS = {name: part for part, names in _PART_NAMES.items() for name in names}
#: Files named "58 (1).jpg": patient 58, slice 1, as in the Kaggle set.
_NUMBERED = re.compile(r"^(\d+) ?\((\d+)\)$")


def read_class_folders(name: str, root: Path) -> Reading:
    """Every picture below a class folder. OVERLAY and mask files are never images: they are linked to theirs.

    PNG and DICOM of one slice (same folder but for the kind, same stem) are one record; the PNG is the image, since
    the sources without stroke have PNG only and a model must not learn the file kind. `External_Test` is labelled by
    a table beside it and is for evaluation only.
    """
    tables = _tables(root)
    siblings: dict[tuple[object, ...], dict[str, Path]] = defaultdict(dict)
    left_out: list[LeftOut] = []
    for file in files_below(root):
        relative = file.relative_to(root)
        kind = _kind(relative)
        if kind is None:
            if file.suffix.lower() != ".csv":
                left_out.append(LeftOut(relative.as_posix(), "not a picture or DICOM file"))
            continue
        known = siblings[_slice_key(relative)]
        if kind in known:
            left_out.append(LeftOut(relative.as_posix(), "a second file of the same slice and kind"))
        known.setdefault(kind, file)
    images = []
    for kinds in siblings.values():
        one = _labelled(name, root, kinds, tables)
        if isinstance(one, LabelledFile):
            images.append(one)
        else:
            left_out += [LeftOut(f.relative_to(root).as_posix(), one) for f in kinds.values()]
    return _with_patients(name, Reading("class folders", tuple(images), tuple(left_out)))


def _kind(relative: Path) -> str | None:
    """picture, dicom, overlay or mask; None for any other file."""
    suffix = relative.suffix.lower()
    if suffix not in _PICTURES + _DICOM and not suffix[1:].isdigit():
        return None
    for part in reversed(relative.parts[:-1]):
        for word in words(part):
            if word in _KINDS:
                return _KINDS[word]
    return "picture" if suffix in _PICTURES else "dicom"


def _slice_key(relative: Path) -> tuple[object, ...]:
    """What PNG, OVERLAY and DICOM of one slice share: folders without kind words and nested repeats, and the stem."""
    parts: list[str] = []
    for part in relative.parts[:-1]:
        kept = " ".join(w for w in words(part) if w not in NOISE and w not in _KINDS)
        if kept and (not parts or parts[-1] != kept):
            parts.append(kept)
    stem = relative.stem if relative.suffix.lower() in _PICTURES + _DICOM else relative.name
    return (*parts, unicodedata.normalize("NFC", stem))


def _labelled(name: str, root: Path, kinds: dict[str, Path], tables: dict[Path, dict[str, str]]) -> LabelledFile | str:
    """One slice's image with its label, or why there is none."""
    main = kinds.get("picture") or kinds.get("dicom")
    if main is None:
        return "an overlay or mask without its image"
    relative = main.relative_to(root)
    label = _first_class(reversed(relative.parts[:-1])) or _from_table(main, tables)
    if label is None:
        return "no folder or table names its class"
    part = next((_PARTS[" ".join(words(p))] for p in relative.parts[:-1] if " ".join(words(p)) in _PARTS), None)
    extra: dict[str, Scalar] = {"part": part} if part else {}
    for kind in ("dicom", "overlay", "mask"):
        if kind in kinds and kinds[kind] != main:
            extra[kind] = kinds[kind].relative_to(root).as_posix()
    presence, subtype = LABELS[label]
    return LabelledFile(main, name, presence, subtype, None, part == "external", extra)


def _tables(root: Path) -> dict[Path, dict[str, str]]:
    """Each folder with a CSV of two or more columns: file stem to class, for `External_Test/labels.csv`."""
    tables: dict[Path, dict[str, str]] = defaultdict(dict)
    for file in sorted(root.rglob("*.csv")):
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            rows = [r for r in csv.reader(stream) if len(r) >= 2]
        tables[file.parent] |= {Path(r[0].strip()).stem: c for r in rows if (c := _first_class(r[1:]))}
    return tables


def _first_class(names: Iterable[str]) -> str | None:
    return next((c for c in map(class_of, names) if c), None)


def _from_table(file: Path, tables: dict[Path, dict[str, str]]) -> str | None:
    return next((tables[f][file.stem] for f in file.parents if f in tables and file.stem in tables[f]), None)


def _with_patients(name: str, reading: Reading) -> Reading:
    """Kaggle's "58 (1).jpg" names carry the patient; only when nearly all files do, since Windows copies look alike."""
    matches = [_NUMBERED.match(f.file.stem) for f in reading.images]
    if not matches or sum(m is not None for m in matches) < 0.9 * len(matches):
        note = "No patient ids: splits can be grouped by near-duplicate only, which leaves neighbouring slices apart."
        return replace(reading, notes=(note,))
    images = tuple(
        f if m is None else replace(f, patient=f"{name}/{m[1]}", extra={**f.extra, "slice": int(m[2])})
        for f, m in zip(reading.images, matches, strict=True)
    )
    note = "The label is the patient's: many slices of a stroke patient show no lesion."
    return Reading("class folders with numbered patients (Kaggle)", images, reading.left_out, (note,))

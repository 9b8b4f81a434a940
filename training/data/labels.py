"""The four labels, and the words by which folders, tables and records name them."""

from __future__ import annotations

import re
import unicodedata

from .manifest import Record

#: Label to (presence, subtype); "stroke" is one of unknown kind.
LABELS: dict[str, tuple[int, int | None]] = {
    "normal": (0, None),
    "stroke": (1, None),
    "ischemic": (1, 0),
    "hemorrhagic": (1, 1),
}
#: What a lesion mask outlines.
INFARCT, BLOOD, EDEMA = "infarct", "blood", "perihematomal edema"
#: Words that say nothing about the label.
NOISE = {"veri", "set", "seti", "image", "images", "slices", "ct", "png", "jpg", "jpeg", "dicom", "dcm"}
NOISE |= {"overlay", "overlays"}
#: Exact word groups of each label, once noise is gone. "inme" is Turkish for stroke, "inme yok" for none.
_NAMES = {
    "normal": ("normal", "healthy", "control", "no stroke", "non stroke", "nonstroke", "inme yok", "saglikli"),
    "ischemic": ("ischemic", "ischaemic", "ischemia", "ischaemia", "iskemi", "iskemik"),
    "hemorrhagic": ("hemorrhagic", "haemorrhagic", "hemorrhage", "haemorrhage", "bleeding", "kanama", "hemorajik"),
    "stroke": ("stroke", "inme", "inme var"),
}
_LABEL_OF = {name: label for label, names in _NAMES.items() for name in names}


def mask_of(record: Record) -> str:
    """What a record's mask outlines: what its source says, else what its kind of stroke shows."""
    return str(record.extra.get("mask_of", BLOOD if record.subtype else INFARCT))


def words(name: str) -> list[str]:
    """A name as plain lower-case ASCII words: `İnme Yok_kronik süreç` -> inme, yok, kronik, surec."""
    decomposed = unicodedata.normalize("NFKD", name.replace("ı", "i"))
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).lower()
    return re.findall(r"[a-z]+|\d+", plain)


def class_of(name: str) -> str | None:
    """One of LABELS; None for a name that is no label."""
    left = [w for w in words(name) if w not in NOISE]
    if left[:2] == ["inme", "yok"]:  # also "İnme Yok_kronik süreç_diğer": chronic and other findings, no acute stroke
        return "normal"
    label = _LABEL_OF.get(" ".join(left))
    if label is None and left and left[-1] in ("stroke", "inme"):
        kind = _LABEL_OF.get(" ".join(left[:-1]))
        return kind if kind in ("ischemic", "hemorrhagic") else None
    return label


def class_name(record: Record) -> str:
    """One of LABELS, or "unlabelled"."""
    label = record.presence, record.subtype if record.presence else None
    return next((name for name, known in LABELS.items() if known == label), "unlabelled")

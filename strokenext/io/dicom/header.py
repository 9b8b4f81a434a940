"""What a DICOM data set says about one frame, as plain checked values; nothing of it names the patient.

Classic and enhanced (functional groups, PS3.3 C.7.6.16) files are read alike. A value that is missing,
malformed or absurd is None: a wrong number or a wrong marker is worse than none.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from strokenext.types import NEUTRAL_MODALITIES, Edges, Header, Window

from . import numbers, terms
from .frames.codecs import syntax_name

#: An image is axial when its normal is within this angle of the feet-head axis; gantries tilt up to 30 degrees.
AXIAL_WITHIN_DEGREES = 37.0

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SCOUT = re.compile(r"LOCALI[SZ]ER|SCOUT|SURVIEW|TOPOGRAM|SCANOGRAM")
_MAPS = frozenset({"PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX", "DOSE_INFO", "SCREEN SAVE"})
_OTHER_PARTS = re.compile(
    r"CHEST|THORAX|LUNG|HEART|ABDOMEN|PELVIS|LIVER|KIDNEY|[TLS]?SPINE|HIP|LEG|KNEE|ANKLE|FOOT|ARM|ELBOW|HAND|WRIST|"
    r"SHOULDER|EXTREMITY|BREAST|COLON|BLADDER|PROSTATE|AORTA|WHOLEBODY|FEMUR|TIBIA"
)
_GROUPS = (
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "CTImageFrameTypeSequence",
    "MRImageFrameTypeSequence",
)


@dataclass(frozen=True)
class Frame:
    """One frame's facts: lengths in mm, vectors in patient coordinates (left, posterior, head)."""

    header: Header
    rows: int
    columns: int
    index: int  # of the frame in its file
    slope: float | None
    intercept: float | None
    rescale_type: str
    position: tuple[float, ...] | None  # centre of the first pixel
    cosines: tuple[float, ...] | None  # of the row, then of the column
    spacing: tuple[float, float] | None  # (row, column)
    windows: tuple[Window, ...]
    instance: float | None
    location: float | None
    secondary_capture: bool
    inverted: bool  # MONOCHROME1
    unfit: str | None = None  # a sentence when the image cannot be part of a head CT series

    @cached_property
    def normal(self) -> tuple[float, float, float] | None:
        """Unit normal of the slice, pointing to the head when the slice is axial."""
        if self.cosines is None:
            return None
        normal = np.cross(self.cosines[:3], self.cosines[3:])
        normal = normal * (-1.0 if normal[2] < 0 else 1.0) / np.linalg.norm(normal)
        return float(normal[0]), float(normal[1]), float(normal[2])

    @cached_property
    def along(self) -> float | None:
        """mm along the normal, growing towards the head, when position and orientation are stated."""
        if self.normal is None or self.position is None:
            return None
        return float(np.dot(self.normal, self.position))

    @property
    def tilt(self) -> float:
        """Degrees between the normal and the feet-head axis; 0 when no orientation is stated."""
        return 0.0 if self.normal is None else math.degrees(math.acos(min(1.0, abs(self.normal[2]))))


def frames(ds: Dataset) -> int:
    """Number of frames that the data set declares, at least 1."""
    return max(1, int(numbers.number(ds, "NumberOfFrames") or 1))


def frame(ds: Dataset, index: int) -> Frame:
    """The facts of frame `index` (0 is the first) of a data set with or without its pixels."""
    layers = _layers(ds, index)
    sop_class = UID(str(ds.get("SOPClassUID", "") or ""))
    cosines, thickness = _cosines(layers), _first(layers, "SliceThickness")
    spacing = _numbers(layers, "PixelSpacing", 2)
    facts = Frame(
        header=Header(
            modality=terms.modality(_code(ds, "Modality")) or ("CT" if "CT Image" in sop_class.name else None),
            image_type=_codes(layers, "FrameType") or _codes(layers, "ImageType"),
            body_part=_code(ds, "BodyPartExamined"),
            burned_in_text={"YES": True, "NO": False}.get(_code(ds, "BurnedInAnnotation") or ""),
            slice_thickness=thickness if thickness and 0 < thickness < 1000 else None,
            transfer_syntax=syntax_name(str(ds.file_meta.TransferSyntaxUID)),
        ),
        rows=int(numbers.number(ds, "Rows") or 0),
        columns=int(numbers.number(ds, "Columns") or 0),
        index=index,
        slope=_first(layers, "RescaleSlope"),
        intercept=_first(layers, "RescaleIntercept"),
        rescale_type=terms.unit(next((t for t in (_code(layer, "RescaleType") for layer in layers) if t), "")),
        position=_numbers(layers, "ImagePositionPatient", 3),
        cosines=cosines,
        spacing=(spacing[0], spacing[1]) if spacing and all(0 < s < 100 for s in spacing) else None,
        windows=_windows(layers),
        instance=numbers.number(ds, "InstanceNumber"),
        location=_first(layers, "SliceLocation"),
        secondary_capture=sop_class.startswith(_SECONDARY_CAPTURE),
        inverted=re.sub(r"[\W_]", "", str(ds.get("PhotometricInterpretation", "") or "")).upper() == "MONOCHROME1",
    )
    stated = replace(facts.header, axial=None if cosines is None else facts.tilt <= AXIAL_WITHIN_DEGREES)
    unfit = _unfit(stated)
    problem = unfit or _other_part(stated)
    part = next(iter(terms.only_known((stated.body_part or "",))), "") or None
    told = replace(stated, scope_problem=problem, image_type=terms.only_known(stated.image_type), body_part=part)
    return replace(facts, header=told, unfit=unfit)


def edges(cosines: tuple[float, ...] | None) -> Edges | None:
    """The patient direction at each edge of the displayed image, by the largest component of each axis."""
    if cosines is None:
        return None
    right, bottom = _letter(cosines[:3]), _letter(cosines[3:])
    opposite = dict(zip("LRPAHF", "RLAPFH", strict=True))
    return Edges(left=opposite[right], right=right, top=opposite[bottom], bottom=bottom)


def _letter(direction: tuple[float, ...]) -> str:
    axis = max(range(3), key=lambda i: abs(direction[i]))
    return ("LR", "PA", "HF")[axis][0 if direction[axis] > 0 else 1]


def _unfit(header: Header) -> str | None:
    """A sentence when the header alone says that this is not an axial CT slice."""
    if header.modality is not None and header.modality not in NEUTRAL_MODALITIES:
        return f"The file says that its modality is {header.modality}; only head CT can be judged."
    if any(_SCOUT.search(value) for value in header.image_type):
        return "The file says that this is a localizer (scout), not a cross-section."
    if header.axial is False:
        return "The file says that this image is not axial; only axial slices can be judged."
    if _MAPS & set(header.image_type):
        return "The file says that this is a computed map or a report page, not a CT slice."
    return None


def _other_part(header: Header) -> str | None:
    """A sentence when the stated body part is not the head: too often wrong to leave the image out of a series."""
    if header.body_part is not None and _OTHER_PARTS.fullmatch(header.body_part.replace(" ", "")):
        return f"The file says that the body part is {header.body_part}; only the head can be judged."
    return None


def _layers(ds: Dataset, index: int) -> tuple[Dataset, ...]:
    """Where to look for a frame's values: its own functional groups, the shared ones, the data set."""
    layers: list[Dataset] = []
    per_frame = ds.get("PerFrameFunctionalGroupsSequence")
    shared = ds.get("SharedFunctionalGroupsSequence")
    for group in (per_frame[index] if per_frame and index < len(per_frame) else None, shared[0] if shared else None):
        layers.extend(group[name][0] for name in _GROUPS if group is not None and group.get(name))
    return (*layers, ds)


def _first(layers: tuple[Dataset, ...], keyword: str) -> float | None:
    return next((n for n in (numbers.number(layer, keyword) for layer in layers) if n is not None), None)


def _values(layers: tuple[Dataset, ...], keyword: str) -> list[Any]:
    """All values of the first layer that has the element; empty when none has."""
    for layer in layers:
        try:
            value = layer.get(keyword)
        except (ValueError, KeyError, TypeError, NotImplementedError):
            continue
        if value not in (None, "", []):
            return [value] if isinstance(value, str | int | float) else list(value)
    return []


def _floats(layers: tuple[Dataset, ...], keyword: str) -> tuple[float, ...]:
    """All numbers of the first layer that has the element."""
    return next((n for n in (numbers.numbers(layer, keyword) for layer in layers) if n), ())


def _numbers(layers: tuple[Dataset, ...], keyword: str, count: int) -> tuple[float, ...] | None:
    values = _floats(layers, keyword)
    return values if len(values) == count else None


def _cosines(layers: tuple[Dataset, ...]) -> tuple[float, ...] | None:
    """ImageOrientationPatient when it is two perpendicular unit vectors."""
    cosines = _numbers(layers, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    sound = abs(np.linalg.norm(row) - 1) < 0.02 and abs(np.linalg.norm(column) - 1) < 0.02
    return cosines if sound and abs(row @ column) < 0.02 else None


def _code(ds: Dataset, keyword: str) -> str | None:
    """A code string (at most 16 capitals, digits, blanks and underscores), or None."""
    codes = _codes((ds,), keyword)
    return codes[0] if codes else None


def _codes(layers: tuple[Dataset, ...], keyword: str) -> tuple[str, ...]:
    codes = (str(v).strip().upper() for v in _values(layers, keyword))
    return tuple(c for c in codes if re.fullmatch(r"[A-Z0-9_ -]{1,16}", c))


def _windows(layers: tuple[Dataset, ...]) -> tuple[Window, ...]:
    """The file's own windows, in order, without repeats and without impossible ones."""
    stated = _values(layers, "WindowCenterWidthExplanation")
    texts = (str(v) if terms.known(str(v)) else "" for v in stated)
    names = chain((re.sub(r"[^\w .,+/()-]", "", text).strip()[:32] for text in texts), repeat(""))
    triples = zip(_floats(layers, "WindowWidth"), _floats(layers, "WindowCenter"), names, strict=False)
    possible = (Window(*t) for t in triples if 1 <= t[0] <= 1e5 and abs(t[1]) <= 1e5)  # NaN fails both
    return tuple(dict.fromkeys(possible))[:16]

"""What a file calls itself, for a caller who asked to recognise the case by it."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from strokenext.types import Label

from .traits import layers, number, text

#: The most of a description that is shown.
_LONGEST = 64


def label(ds: Dataset, index: int) -> Label:
    """Descriptions, date and thickness of frame `index`; control characters and what is beyond 64 letters omitted."""
    here = layers(ds, index)
    thickness = number(here, "SliceThickness")
    return Label(
        study=_shown(text(here, "StudyDescription")),
        series=_shown(text(here, "SeriesDescription")),
        date=_date(*(text(here, key) for key in ("AcquisitionDate", "SeriesDate", "AcquisitionDateTime", "StudyDate"))),
        thickness=thickness if thickness is not None and 0 < thickness < 1000 else None,
    )


def _shown(value: str) -> str:
    return "".join(c if c.isprintable() else " " for c in value).strip()[:_LONGEST]


def _date(*values: str) -> str:
    """The first date among DICOM's YYYYMMDD (or the retired YYYY.MM.DD) as YYYY-MM-DD, "" without one."""
    for value in values:
        if found := re.match(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])", value.strip()):
            return "-".join(found.groups())
    return ""

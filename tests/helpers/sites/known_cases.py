"""Files that a hurried reader opens, and what is right to show of every series in them, worked out without any page."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image

import strokenext
from strokenext import Slice, Volume, case_label
from tests.helpers import several_series as made
from tests.helpers.places import EXAMPLES

SOFT: Mapping[str, Any] = {"ConvolutionKernel": "H30s", "SliceThickness": 5, "ContrastBolusAgent": "NONE"}


@dataclass(frozen=True)
class Case:
    """One series or picture: its name on the screen, and of each slice the picture's fingerprint and the answer."""

    label: str
    prints: tuple[int, ...]
    answers: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.prints)


@dataclass
class Known:
    """What can be opened: its cases by the number of their series, and the one that opens where none is chosen.

    `meant` is None where the reader is asked; `rows` names the series of the list, none where there is no list.
    """

    name: str
    files: tuple[Path, ...]
    example: str | None = None
    cases: dict[int, Case] = field(default_factory=dict)
    meant: int | None = 1
    rows: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether nothing in it can be read."""
        return not self.cases

    @property
    def called(self) -> str:
        """What the page calls it before its series."""
        if self.example:
            return f"Example: {EXAMPLE_NAMES[self.example]}"
        return self.files[0].name if len(self.files) == 1 else f"{len(self.files)} files"


EXAMPLE_NAMES = {
    "hemorrhage-dcm": "Hemorrhage",
    "normal-dcm": "No lesion",
    "series_hemorrhage-zip": "Series, 16 slices",
}


def fingerprint(image: Slice) -> int:
    """FNV-1a of the pixels as the browser holds them; the same as `print` in the test."""
    scale = 1.0 if image.unit == "HU" else 1.0 / 128
    value = 2166136261
    for v in np.clip(np.rint(image.pixels / scale), -32768, 32767).astype("<i2").ravel().astype(np.uint16).tolist():
        value = ((value ^ v) * 16777619) & 0xFFFFFFFF
    return value


def learned(image: Slice | Volume, label: str, predictor: Any) -> Case:
    """Every slice of it judged directly."""
    images = image.slices if isinstance(image, Volume) else (image,)
    return Case(label, tuple(fingerprint(one) for one in images), tuple(predictor.predict(one) for one in images))


def sources(folder: Path, predictor: Any) -> list[Known]:
    """Single pictures, series, uploads of several series, one that is not judged, and one that cannot be read."""
    noise, broken = folder / "noise.png", folder / "broken.dcm"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (96, 96), dtype=np.uint8)).save(noise)
    broken.write_bytes((EXAMPLES / "normal.dcm").read_bytes()[:3000])
    alone = [
        Known("bleed", (EXAMPLES / "hemorrhage.dcm",), "hemorrhage-dcm"),
        Known("series", (EXAMPLES / "series_hemorrhage.zip",), "series_hemorrhage-zip"),
        Known("normal", (EXAMPLES / "normal.dcm",), "normal-dcm"),
        Known("changed", (_changed(folder, "normal.dcm", 6),)),
        Known("part of a series", _part(folder)),
        Known("noise", (noise,)),
    ]
    for one in alone:
        image = strokenext.read_any([path.read_bytes() for path in one.files], labels=True)
        one.cases[1] = learned(image, case_label(image.label, one.called), predictor)
    several = [_several(folder), _two_studies(folder)]
    for one in several:
        found = strokenext.survey(one.files[0], labels=True)
        one.rows, one.meant = tuple(facts.description for facts in found.series), found.chosen
        for facts in found.series:
            image = found.read_whole(facts.number).volume
            one.cases[facts.number] = learned(image, case_label(image.label, one.called, facts.number), predictor)
    assert [(one.meant, len(one.rows)) for one in several] == [(3, 3), (None, 2)]
    return [*alone, *several, Known("broken", (broken,))]


def _several(folder: Path) -> Known:
    """Three series of one study, of which one is clearly meant; small, so that they are soon sent on a slow line."""
    kinds: dict[str, dict[str, Any]] = {
        "bone": {"ConvolutionKernel": "H60s"},
        "contrast": {"ContrastBolusAgent": "ISOVUE 300"},
        "soft": {},
    }
    parts = [
        made.series(name, 3, 4 * number, **{**SOFT, "SeriesDescription": f"{name} of one", **tags})
        for number, (name, tags) in enumerate(kinds.items())
    ]
    return Known("several", (made.packed(folder / "several.zip", *parts),))


def _two_studies(folder: Path) -> Known:
    """Two patients, so that the reader is asked which."""
    parts = [
        made.series(f"a{number}", 3, add, f"study {add}", **SOFT, SeriesDescription=f"patient {number}")
        for number, add in ((1, 14), (2, 20))
    ]
    return Known("two studies", (made.packed(folder / "two.zip", *parts),))


def _changed(folder: Path, name: str, add: int) -> Path:
    ds = pydicom.dcmread(EXAMPLES / name)
    ds.PixelData = (ds.pixel_array + add).astype(ds.pixel_array.dtype).tobytes()
    path = folder / f"{add}-{name}"
    ds.save_as(path)
    return path


def _part(folder: Path) -> tuple[Path, ...]:
    """Six slices of the example series as files of their own."""
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        names = [n for n in archive.namelist() if not n.endswith("/")][4:10]
        parts = tuple(folder / f"IM{i}" for i in range(len(names)))
        for part, name in zip(parts, names, strict=True):
            part.write_bytes(archive.read(name))
    return parts

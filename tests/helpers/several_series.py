"""Uploads that hold several series, made of the bundled drawn series: other kernels, thicknesses, phases, studies."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

from .places import EXAMPLES


def slices(count: int = 6) -> list[pydicom.Dataset]:
    """Some slices at the level of the brain, from the feet to the head."""
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        names = sorted(n for n in archive.namelist() if not n.endswith("/"))
        files = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in names]
    files.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    first = (len(files) - count) // 2
    return files[first : first + count]


def series(name: str, count: int = 6, add: int = 0, study: str = "one", **tags: Any) -> dict[str, bytes]:
    """A series of its own, its pixels `add` HU brighter, the first one `add` stored; a tag of None is deleted."""
    files = {}
    for number, ds in enumerate(slices(count), 1):
        pixels = ds.pixel_array + add
        pixels[0, 0] = add
        ds.PixelData = pixels.astype(ds.pixel_array.dtype).tobytes()
        ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", study])
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", study, name])
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["image", study, name, str(number)])
        ds.InstanceNumber, ds.PatientID = number, f"patient of {study}"
        for keyword, value in tags.items():
            if value is not None:
                setattr(ds, keyword, value)
            elif keyword in ds:
                delattr(ds, keyword)
        target = io.BytesIO()
        ds.save_as(target, enforce_file_format=True)
        files[f"{name}/IM{number:04d}"] = target.getvalue()
    return files


def packed(path: Path, *parts: dict[str, bytes]) -> Path:
    """A zip archive of them at `path`."""
    with zipfile.ZipFile(path, "w") as archive:
        for part in parts:
            for name, data in part.items():
                archive.writestr(name, data)
    return path


def several(path: Path) -> Path:
    """One study: a soft native series of 5 mm, which is clearly meant, a sharp and a contrast one, and a text."""
    return packed(
        path,
        series("bone", 6, 3, ConvolutionKernel="H60s", SliceThickness=5, ContrastBolusAgent="NONE"),
        series("soft", 5, 0, ConvolutionKernel="H30s", SliceThickness=5, ContrastBolusAgent="NONE"),
        series("contrast", 6, 7, ConvolutionKernel="H30s", SliceThickness=5, ContrastBolusAgent="ISOVUE 300"),
        {"README.txt": b"Made by nobody in particular, with nothing in it."},
    )


def two_studies(path: Path) -> Path:
    """Two patients in one archive, a series of each, the second one brighter."""
    tags = {"ConvolutionKernel": "H30s", "SliceThickness": 5}
    return packed(path, series("a", 5, 0, "one", **tags), series("a2", 6, 9, "two", **tags))

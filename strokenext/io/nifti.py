"""NIfTI-1 and NIfTI-2 to axial slices in radiological convention (patient's right on the left), feet to head."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from strokenext.errors import DamagedFileError, InputError, UnsupportedFormatError
from strokenext.io.dicom.header import AXIAL_WITHIN_DEGREES
from strokenext.types import BoolArray, Caution, Edges, Header, Slice, Volume, Window

from . import hounsfield, limits
from .grey import stretched
from .quiet import guarded

#: Bytes of the longer of the two headers.
HEADER = 540
_DAMAGED = "This NIfTI file is damaged or cut short. Export or copy it again."
_MM = {"meter": 1000.0, "micron": 0.001}
_AIR = -1000.0


@dataclass(frozen=True)
class _Layout:
    """Where the voxels are and what they mean: `shape` in voxels, `affine` to mm in patient space (RAS+)."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    intercept: float
    affine: NDArray[np.float64]
    oriented: bool  # the file states an orientation
    window: Window | None  # cal_min to cal_max

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offset + math.prod(self.shape) * self.dtype.itemsize


def declared_size(head: bytes) -> int:
    """Bytes that a NIfTI file has by its header (at least `HEADER` bytes of it).

    Raises TooLargeError above the limits, InputError for a time series, UnsupportedFormatError for colours.
    """
    with guarded(_DAMAGED):
        return _layout(head).size


def read(data: bytes) -> Volume:
    """A whole uncompressed NIfTI file. Raises what `declared_size` does, and DamagedFileError when it is short."""
    with guarded(_DAMAGED):
        layout = _layout(data)
        if len(data) < layout.size:
            raise DamagedFileError(_DAMAGED)
        return _volume(data, layout)


def _layout(head: bytes) -> _Layout:
    version_2 = head[4:8] == b"n+2\x00"
    # nibabel's own checks would print; what matters is checked here
    header = (Nifti2Header if version_2 else Nifti1Header).from_fileobj(BytesIO(head), check=False)
    shape = tuple(int(n) for n in header.get_data_shape())
    if len(shape) > 3 and math.prod(shape[3:]) != 1:
        raise InputError(f"This NIfTI file holds {shape[3]} volumes or channels. Save the one to be read on its own.")
    if len(shape) < 2 or min(shape) < 1:
        raise DamagedFileError(_DAMAGED)
    columns, rows, depth = (*shape[:3], 1)[:3]
    # whichever axis turns out to be feet to head; `_volume` checks again once that is known
    limits.check_volume(*sorted((columns, rows, depth)))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnsupportedFormatError("This NIfTI file holds colours or complex numbers. Save it as plain values.")
    slope, intercept = header.get_slope_inter()
    offset = int(header["vox_offset"])
    if not 348 <= offset <= 64 * limits.MIB:  # extensions may sit between header and voxels
        raise DamagedFileError(_DAMAGED)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    layout = _Layout(
        shape=(columns, rows, depth),
        dtype=dtype,
        offset=offset,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        affine=_affine(header),
        oriented=int(header["qform_code"]) > 0 or int(header["sform_code"]) > 0,
        window=Window(high - low, (high + low) / 2, "file") if 1 <= high - low <= 1e5 and abs(low) <= 1e5 else None,
    )
    limits.check_file(layout.size)
    return layout


def _affine(header: Nifti1Header) -> NDArray[np.float64]:
    """Voxel to mm. Raises DamagedFileError for one that is singular or not finite."""
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= _MM.get(header.get_xyzt_units()[0], 1.0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise DamagedFileError("This NIfTI file states an impossible orientation. Export it again.")
    return affine


def _volume(data: bytes, layout: _Layout) -> Volume:
    raw = np.frombuffer(data, layout.dtype, math.prod(layout.shape), layout.offset).reshape(layout.shape, order="F")
    to_lps = ornt_transform(io_orientation(layout.affine), axcodes2ornt(("L", "P", "S")))
    stack = apply_orientation(raw, to_lps)  # a view
    affine = layout.affine @ inv_ornt_aff(to_lps, layout.shape)
    limits.check_volume(stack.shape[2], stack.shape[1], stack.shape[0])
    sample = _sample(stack) * layout.slope + layout.intercept
    scale = hounsfield.scale(sample)
    tilt, positions = _geometry(affine, stack.shape[2])
    note, cautions = _unit(scale, sample)
    notes = [note]
    if not layout.oriented:
        notes.append("This NIfTI file states no orientation: its sides and the order of its slices are not known.")
    elif tilt > 1:
        notes.append(f"The slices are tilted by {tilt:.0f} degrees against the axial plane.")
    column, row = (float(np.linalg.norm(affine[:3, i])) for i in (0, 1))
    header = Header(axial=tilt <= AXIAL_WITHIN_DEGREES if layout.oriented else None)
    sha256 = hashlib.sha256(data).hexdigest()
    bounds = None
    if scale is None and layout.dtype != np.uint8:
        low, high = np.percentile(sample, (0.5, 99.5))
        bounds = Window(max(high - low, 1e-6), (high + low) / 2)
    slices = tuple(
        Slice(
            pixels=_pixels(stack[:, :, k].T, layout, scale, bounds),
            unit="grey" if scale is None else "HU",
            spacing=(row, column),
            edges=Edges("R", "L", "A", "P") if layout.oriented else None,
            windows=(layout.window,) if layout.window and scale else (),
            header=header,
            kind="nifti",
            sha256=sha256,
            notes=tuple(notes),
            padding=_padding(stack[:, :, k].T),
            cautions=cautions,
        )
        for k in range(stack.shape[2])
    )
    return Volume(slices, positions if layout.oriented else None, notes=tuple(notes), sha256=sha256, cautions=cautions)


def _pixels(
    raw: NDArray[Any], layout: _Layout, scale: hounsfield.Scale | None, bounds: Window | None
) -> NDArray[np.float32]:
    values = np.asarray(raw, dtype=np.float64) * layout.slope + layout.intercept
    if scale is not None:
        values = values + scale.add
    values = np.nan_to_num(values, nan=0.0 if scale is None else _AIR, posinf=32767.0, neginf=-32768.0)
    if scale is None:
        values = np.clip(values, 0, 255) if bounds is None else stretched(values, bounds)
    return values.astype(np.float32)


def _padding(raw: NDArray[Any]) -> BoolArray | None:
    """True where a value is not finite: no tissue."""
    if raw.dtype.kind != "f":
        return None
    finite = np.isfinite(raw)
    return None if finite.all() else ~finite


def _sample(stack: NDArray[Any]) -> NDArray[np.float64]:
    """About a million finite raw values spread over the volume; a single zero when none is finite."""
    step = max(1, math.ceil((stack.size / 1e6) ** (1 / 3)))
    values = stack[::step, ::step, ::step].astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    return finite if finite.size else np.zeros(1)


def _unit(scale: hounsfield.Scale | None, sample: NDArray[np.float64]) -> tuple[str, tuple[Caution, ...]]:
    """A note on the unit, and what about it may change the answer."""
    span = f"{sample.min():.0f} to {sample.max():.0f}"
    if scale is None:
        note = f"No HU: NIfTI states no unit, and the values ({span}) are not those of CT with air, tissue and bone."
        return note, (hounsfield.no_hu(note),)
    cautions = (hounsfield.CLIPPED,) if scale.clipped else ()
    if scale.add:
        note = f"NIfTI states no unit; the values ({span}) are HU stored with {-scale.add:.0f} added, which was undone."
        return note, (*cautions, hounsfield.INFERRED)
    return f"NIfTI states no unit; the values ({span}) are those of CT and are taken as HU.", cautions


def _geometry(affine: NDArray[np.float64], depth: int) -> tuple[float, tuple[float, ...]]:
    """Degrees of tilt of the slices, and their positions in mm along the normal, feet to head."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal *= (-1.0 if normal[2] < 0 else 1.0) / np.linalg.norm(normal)
    positions = tuple(float(normal @ (affine[:3, 3] + k * affine[:3, 2])) for k in range(depth))
    return math.degrees(math.acos(min(1.0, abs(float(normal[2]))))), positions

"""The doors of the room: whatever the caller has becomes a slice, a volume, or one clear error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from strokenext.errors import InputError, StrokeNeXtError
from strokenext.types import Progress, Slice, Volume

from . import sniff
from .members import base_name, chosen
from .series import survey
from .series.scan import unpacked
from .source import Bundle, SeriesSource, existing, lone, members, read_file

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def read_slice(
    source: str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any],
    *,
    name: str | None = None,
    frame: int | None = None,
    labels: bool = False,
) -> Slice:
    """One image (H, W) in HU where the file has them, else in grey levels 0..255 with a note that says so.

    The content decides what the file is. `frame` (from 0) chooses from a file that holds several images;
    `name` is put before the sentence of an error. Arrays: uint8 or uint16, grey or RGB(A). `labels` keeps what the
    file calls itself, which may name the patient. Raises InputError or one of its subclasses, nothing else.
    """
    try:
        return _slice(source, frame, labels)
    except StrokeNeXtError as error:
        if name is None:
            raise
        raise type(error)(f"{base_name(name)}: {error}") from None


def read_series(source: SeriesSource, *, progress: Progress | None = None, labels: bool = False) -> Volume:
    """The slices of a folder, zip, list of files, multi-frame DICOM or NIfTI, from the feet to the head.

    Of several series the one to judge is taken: native before contrast, soft kernel before bone, the thickness nearest
    to that of the training data. Where that is not clear (several studies, series that are alike) it is the best guess,
    and a caution says so; `survey` lets a person choose. Everything else is in `left_out` with a reason. `progress` is
    called with the steps done and in all. `labels` keeps what the files call themselves, which may name the patient.
    Raises InputError or a subclass when nothing can be used.
    """
    return _volume(members(source), progress, labels)


def read_any(source: Any, *, progress: Progress | None = None, labels: bool = False) -> Slice | Volume:
    """A volume from folders, archives, NIfTI, lists and files of several images; a slice from anything else.

    Of several series the one that `read_series` takes, with the same cautions.
    """
    if isinstance(source, list | tuple) and len(source) == 1:
        return read_any(source[0], progress=progress, labels=labels)
    if isinstance(source, list | tuple) or _is_bundle(source):
        return read_series(source, progress=progress, labels=labels)
    if _is_pixels(source):
        return _slice(source, None, labels)
    data = read_file(source)
    kind, plain = unpacked(data)
    if kind == "zip":
        return _volume(members(data), progress, labels)
    if kind == "nifti" or _images(kind, plain) > 1:
        return _volume(lone(data, getattr(source, "name", None)), progress, labels)
    return _slice(data, None, labels)


def _volume(bundle: Bundle, progress: Progress | None, labels: bool) -> Volume:
    """The series to judge; progress in equal halves, looking at the files and decoding those of the series."""
    count = len(bundle.members)

    def looked(done: int, _: int) -> None:
        if progress:
            progress(done, 2 * count)

    def decoded(done: int, total: int) -> None:
        if progress:
            progress(count + count * done // total, 2 * count)

    found = survey.of_bundle(bundle, looked, labels)
    if found.guess is None:
        raise found.without_images()
    volume = found.read_whole(found.guess, decoded).volume
    decoded(1, 1)
    return volume


def read_named(source: Any) -> tuple[Slice | Volume, str]:
    """As `read_any`, with the name of the file, "" when it has none; what is decoded already is passed through."""
    if isinstance(source, Slice | Volume):
        return source, ""
    return read_any(source), os.path.basename(os.fspath(source)) if isinstance(source, str | os.PathLike) else ""


def describe(source: Any) -> dict[str, object]:
    """What a file or folder is, as plain values for printing; never a patient tag."""
    decoded = read_any(source)
    first = decoded if isinstance(decoded, Slice) else decoded[len(decoded) // 2]
    header = first.header
    facts: dict[str, object] = {
        "kind": first.kind,
        "images": 1 if isinstance(decoded, Slice) else len(decoded),
        "rows": first.shape[0],
        "columns": first.shape[1],
        "unit": first.unit,
        "range": [float(first.pixels.min()), float(first.pixels.max())],
        "modality": header.modality,
        "image_type": list(header.image_type),
        "body_part": header.body_part,
        "transfer_syntax": header.transfer_syntax,
        "axial": header.axial,
        "spacing_mm": list(first.spacing) if first.spacing else None,
        "slice_thickness_mm": header.slice_thickness,
        "edges": first.edges._asdict() if first.edges else None,
        "windows": [{"name": w.name, "width": w.width, "level": w.level} for w in first.windows],
        "burned_in_text": header.burned_in_text,
        "scope_problem": header.scope_problem,
        "sha256": decoded.sha256,
        "notes": list(decoded.notes),
    }
    if isinstance(decoded, Volume):
        facts["positions_mm"] = None if decoded.positions is None else [round(p, 3) for p in decoded.positions]
        facts["left_out"] = [{"name": item.name, "reason": item.reason} for item in decoded.left_out]
    return facts


def _is_pixels(source: object) -> bool:
    from PIL import Image

    return isinstance(source, np.ndarray | Image.Image)


def _is_bundle(source: object) -> bool:
    """Whether a path is a folder or a zip archive, which need not be read as a whole."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = existing(source)
    if path.is_dir():
        return True
    with path.open("rb") as stream:
        return sniff.sniff(stream.read(sniff.HEAD)) == "zip"


def _images(kind: str, data: bytes) -> int:
    """Number of images in a DICOM file or a picture; 1 for the other kinds."""
    if kind == "dicom":
        from .dicom import decode as dicom

        return len(dicom.facts(dicom.parse(data, with_pixels=False)))
    if kind in sniff.IMAGE_KINDS:
        from .picture import image

        return image.pages(data, kind)
    return 1


def _slice(source: Any, frame: int | None, labels: bool = False) -> Slice:
    if _is_pixels(source):
        from .picture import image

        if frame not in (None, 0):
            raise InputError("An array or image in memory holds one frame, number 0.")
        return image.from_array(source) if isinstance(source, np.ndarray) else image.from_pil(source)
    if isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray | memoryview):
        raise InputError("This is a list. Read it as a series (read_series), or give one file of it.")
    kind, data = unpacked(read_file(source))
    if kind == "dicom":
        from .dicom import decode as dicom

        return dicom.read(data, frame, labels=labels)
    if kind == "nifti":
        from . import nifti

        volume = nifti.read(data)
        return volume[chosen(frame, len(volume))]
    if kind in sniff.IMAGE_KINDS:
        from .picture import image

        return image.read(data, kind, frame)
    if kind == "zip":
        raise InputError("This is a zip archive. Read it as a series (read_series).")
    raise sniff.foreign(data)

"""DICOM bytes to slices: a bounded parse, pydicom's decoders, then Hounsfield units where the file has them."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO

from pydicom import dcmread, uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble

from strokenext.errors import DamagedFileError, InputError, TooLargeError
from strokenext.io import limits
from strokenext.io.codestream import declared
from strokenext.io.members import chosen
from strokenext.io.quiet import guarded
from strokenext.types import Slice

from . import delimiters, header, label, numbers, pixels, traits
from .frames import fragments, stored
from .reading import Reading

_DAMAGED = "This DICOM file is damaged or cut short. Export or copy it again."
#: A sequence delimiter (PS3.5 A.4): without it pydicom gives up a file whose every pixel is there.
_CLOSING = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED = 0xFFFFFFFF
_DIRECTORY = "1.2.840.10008.1.3.10"
#: Preamble and the one element that says "explicit, little-endian": put before an inflated data set.
_PLAIN_META = bytes(128) + b"DICM\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\x00"


def parse(data: bytes, *, with_pixels: bool = True) -> Dataset:
    """The data set of a DICOM file, deflated ones inflated within `limits.MAX_FILE`.

    Raises InputError when it holds no image, DamagedFileError, TooLargeError.
    """
    with guarded(_DAMAGED):
        data, deflated = _inflated(data)
        ds = _parsed(data, with_pixels)
        _require_end(ds)
        _state_syntax(ds, deflated)
        _state_size(ds, data)
        _check(ds, with_pixels)
    return ds


def _parsed(data: bytes, with_pixels: bool) -> Dataset:
    """The data set; where pydicom gives up, once more with the delimiters that are missing."""
    ds = Dataset()
    try:
        ds = dcmread(BytesIO(data), force=True, stop_before_pixels=not with_pixels)
        whole = "Rows" in ds or "DirectoryRecordSequence" in ds or len(ds) == 0
    except (OSError, EOFError, ValueError):
        whole = False
    if not whole:
        ds = dcmread(BytesIO(_with_delimiters(data)), force=True, stop_before_pixels=not with_pixels)
    if with_pixels and not any(k in ds for k in stored.ELEMENTS):
        ds = dcmread(BytesIO(_with_delimiters(data) + _CLOSING), force=True)
    return ds


def _require_end(ds: Dataset) -> None:
    """Refuse pixels that end before the length their element states: what is left may look like fewer bits.

    A wrong length over pixels that are all there is no harm.
    """
    for keyword in stored.ELEMENTS:
        raw = ds.get_item(keyword) if keyword in ds else None
        if not isinstance(raw, RawDataElement) or raw.value is None or len(raw.value) >= raw.length:
            continue
        if raw.length == _UNDEFINED or fragments.is_encapsulated(raw.value):
            continue
        sizes = [numbers.integer(ds, k) for k in ("Rows", "Columns", "BitsAllocated")]
        sizes += [numbers.integer(ds, k) or 1 for k in ("SamplesPerPixel", "NumberOfFrames")]
        if 8 * len(raw.value) < math.prod(size or 0 for size in sizes):
            raise DamagedFileError(_DAMAGED)


def _with_delimiters(data: bytes) -> bytes:
    stream = BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    start = stream.tell()
    implicit = meta.get("TransferSyntaxUID") == uid.ImplicitVRLittleEndian
    return data[:start] + delimiters.restored(data[start:], implicit=implicit)


def facts(ds: Dataset) -> tuple[header.Frame, ...]:
    """What the data set says about each of its frames. Raises DamagedFileError."""
    with guarded(_DAMAGED):
        return tuple(header.frame(ds, index) for index in range(header.frames(ds)))


def traits_of(ds: Dataset) -> tuple[traits.Traits, ...]:
    """What tells each of its frames from those of another series. Raises DamagedFileError."""
    with guarded(_DAMAGED):
        return tuple(traits.traits(ds, index) for index in range(header.frames(ds)))


def read(data: bytes, frame: int | None, *, labels: bool = False) -> Slice:
    """One frame; `frame` may be None when the file holds a single one; `labels` asks for its label.

    Raises InputError for a frame that is missing or not chosen, and what `parse` and `slices` raise.
    """
    ds = parse(data)
    with guarded(_DAMAGED):
        facts_of_one = header.frame(ds, chosen(frame, header.frames(ds)))
    return next(slices(ds, [facts_of_one], hashlib.sha256(data).hexdigest(), labels=labels))


def reading_of(ds: Dataset, facts_of_one: header.Frame) -> Reading:
    """How the values of the series that this frame belongs to become HU. Raises what `slices` does."""
    with guarded(_DAMAGED):
        frames = stored.open_frames(ds)
        values = frames.read(facts_of_one.index)
        if values.ndim == 3 or frames.layout.is_palette:
            return Reading()
        return pixels.read_as(values, ds, facts_of_one, frames.layout)


def slices(
    ds: Dataset, wanted: Sequence[header.Frame], sha256: str, how: Reading | None = None, *, labels: bool = False
) -> Iterator[Slice]:
    """The wanted frames of one file, in the order of their index, decoded one at a time.

    `how` is the reading of their series; without one each slice decides by itself. `labels` asks for their labels.

    Raises UnsupportedFormatError naming the transfer syntax, DamagedFileError when a frame cannot be decoded.
    """
    with guarded(_DAMAGED):
        frames = stored.open_frames(ds)
    for facts_of_one in sorted(wanted, key=lambda f: f.index):
        with guarded(_DAMAGED):
            values = frames.read(facts_of_one.index)
            image = pixels.to_slice(values, ds, facts_of_one, frames.layout, sha256, how)
            known = traits.cautions(traits.traits(ds, facts_of_one.index))
            named = label.label(ds, facts_of_one.index) if labels else None
        yield replace(image, cautions=(*image.cautions, *known), label=named)


def _inflated(data: bytes) -> tuple[bytes, bool]:
    """The file with its data set inflated when it is deflated (PS3.5 A.5), and whether it was.

    pydicom would inflate it without a bound.
    """
    stream = BytesIO(data)
    read_preamble(stream, force=True)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return data, False
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(data[stream.tell() :], limits.MAX_FILE + 1)
    if not inflater.eof and len(plain) <= limits.MAX_FILE:
        raise DamagedFileError(_DAMAGED)
    if len(plain) > limits.MAX_FILE:
        raise TooLargeError(f"This file unpacks to more than {limits.MAX_FILE // limits.MIB} MB. Give one CT slice.")
    return _PLAIN_META + plain, True


def _state_syntax(ds: Dataset, deflated: bool) -> None:
    """Make the file meta information name the transfer syntax that was found."""
    if deflated:
        ds.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    if not ds.file_meta.get("TransferSyntaxUID"):
        implicit, little = ds.original_encoding
        plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        ds.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else plain


def _state_size(ds: Dataset, data: bytes) -> None:
    """Rows and Columns that are absent, from the code stream of the first frame, or one from the other."""
    sizes = [numbers.integer(ds, k) or 0 for k in ("Rows", "Columns")]
    if all(sizes) or not (any(sizes) or "BitsAllocated" in ds):
        return
    whole = ds if "PixelData" in ds else dcmread(BytesIO(data), force=True)
    values = bytes(whole.get("PixelData", b"") or b"")
    if fragments.is_encapsulated(values):
        stream = declared(fragments.frames(values, 1)[0])
        sizes = [stream.rows, stream.columns] if stream else sizes
    elif any(sizes):
        samples = (numbers.integer(ds, "SamplesPerPixel") or 1) * header.frames(ds)
        other, rest = divmod(8 * len(values), (numbers.integer(ds, "BitsAllocated") or 16) * samples * max(sizes))
        sizes = [s or (other if rest == 0 else 0) for s in sizes]
    ds.Rows, ds.Columns = sizes


def _check(ds: Dataset, with_pixels: bool) -> None:
    """Refuse what holds no image, and sizes above the limits, before any pixel is decoded."""
    kind = str(ds.file_meta.get("MediaStorageSOPClassUID", "") or ds.get("SOPClassUID", ""))
    if kind == _DIRECTORY or "DirectoryRecordSequence" in ds:
        raise InputError("This file is a DICOMDIR, the index of a disc. Give the folder of images beside it.")
    rows, columns = (numbers.integer(ds, k) or 0 for k in ("Rows", "Columns"))
    sized = rows > 0 and columns > 0
    if not sized or (with_pixels and not any(k in ds for k in stored.ELEMENTS)):
        name = uid.UID(kind).name
        if "Image Storage" in name or sized or not kind:
            raise DamagedFileError("This DICOM file ends before its image. Export or copy it again.")
        raise InputError(f"This DICOM file holds no image but '{name if name != kind else 'an unknown object'}'.")
    limits.check_volume(header.frames(ds), rows, columns)

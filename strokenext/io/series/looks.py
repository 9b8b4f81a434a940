"""What pixels say when tags leave it open: which images are one and the same, and which are sharper than others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from strokenext.errors import InputError
from strokenext.types import FloatArray

from .scan import Candidate, Failed, Scan

#: Sharper by this factor is another reconstruction kernel: H30 to H60 is 3 to 6 fold, two phases of a scan 1 to 1.2.
OTHER_KERNEL = 1.5
Key = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """A decoded image: a digest of its pixels, and the strength of its finest detail in HU (None without tissue)."""

    digest: str
    sharpness: float | None


def key(c: Candidate) -> Key:
    """What names a frame within a scan: file and index."""
    return c.member, c.frame.index


def stored(found: Scan, images: Sequence[Candidate]) -> dict[Key, str]:
    """A digest of the stored pixels of each image, without decoding them; files that are damaged have none.

    Frames of one file have none either: a file does not hold the same frame twice.
    """
    from strokenext.io.dicom import decode as dicom

    digests: dict[Key, str] = {}
    for c in images:
        if c.frame.index:
            continue
        try:
            ds = dicom.parse(found.load(c.member)[1])
        except InputError:
            continue
        if ds.get("NumberOfFrames") in (None, 1, "", "1"):
            state = (ds.get("PixelRepresentation"), ds.get("RescaleSlope"), ds.get("RescaleIntercept"))
            data = bytes(ds.get("PixelData") or b"") or repr(key(c)).encode()
            digests[key(c)] = hashlib.sha256(repr(state).encode() + data).hexdigest()
    return digests


def decoded(found: Scan, images: Sequence[Candidate]) -> tuple[dict[Key, Look], list[Failed]]:
    """A look at each image that can be decoded, and the files that cannot."""
    looks: dict[Key, Look] = {}
    failed: list[Failed] = []
    by_file: dict[int, list[Candidate]] = {}
    for c in images:
        by_file.setdefault(c.member, []).append(c)
    for number, several in by_file.items():
        try:
            looks.update(_file(found, number, several))
        except InputError as error:
            failed.append(Failed(number, error))
    return looks, failed


def sharpness(pixels: FloatArray) -> float | None:
    """The typical difference, in HU, of a pixel of soft tissue (H, W) from the mean of its four neighbours."""
    inner = pixels[1:-1, 1:-1]
    around = (pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]) / 4
    tissue = (around > -20) & (around < 100)
    return float(np.median(np.abs(inner - around)[tissue])) if tissue.sum() > 200 else None


def _file(found: Scan, number: int, several: Sequence[Candidate]) -> Iterator[tuple[Key, Look]]:
    from strokenext.io.dicom import decode as dicom

    placed = sorted(several, key=lambda c: c.frame.index)
    images = dicom.slices(dicom.parse(found.load(number)[1]), [c.frame for c in placed], "")
    for c, image in zip(placed, images, strict=True):
        digest = hashlib.sha256(image.pixels.tobytes()).hexdigest()
        yield key(c), Look(digest, sharpness(image.pixels) if image.unit == "HU" else None)

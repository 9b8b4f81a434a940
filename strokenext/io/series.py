"""Folders, archives, lists and multi-frame files to a volume ordered from the feet to the head."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strokenext.errors import InputError
from strokenext.types import LeftOut, Progress, Slice, Volume

from . import archive, limits, sniff
from .members import Member
from .source import Bundle

if TYPE_CHECKING:
    from strokenext.io.dicom.stack import Candidate

_ORDER_FROM_NAMES = "The order of the slices comes from the file names; pictures state no position."


@dataclass
class _Found:
    """What the first pass over the members found, by index."""

    dicom: list[int] = field(default_factory=list)
    nifti: list[int] = field(default_factory=list)
    pictures: list[tuple[int, str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)

    def leave_out(self, name: str, error: InputError) -> None:
        self.left_out.append(LeftOut(name, str(error)))
        self.errors.append(error)


def read(bundle: Bundle, progress: Progress | None = None) -> Volume:
    """The one series worth reading among the members; the rest is in `left_out` with a sentence each.

    Raises InputError (or the members' own error class when all fail alike) when nothing can be used.
    """
    members = bundle.members
    tell = _Telling(progress, len(members))
    found = _Found()
    loaded = _Loader(members)
    candidates: list[Candidate] = []
    for number, member in enumerate(members):
        try:
            kind, data = loaded(number)
            if kind == "dicom":
                candidates += _dicom_candidates(number, member.name, data)
                found.dicom.append(number)
            elif kind == "nifti":
                found.nifti.append(number)
            elif kind in sniff.IMAGE_KINDS:
                found.pictures.append((number, kind))
            else:
                raise _not_an_image(kind, data)
        except InputError as error:
            found.leave_out(member.name, error)
        tell.scanned(number + 1)
    volume = None
    if candidates:
        volume = _dicom_volume(loaded, candidates, found, tell, strict=bundle.listed)
    if volume is None and found.nifti:
        volume = _nifti_volume(loaded, found, members)
    if volume is None and found.pictures:
        volume = _picture_volume(loaded, found, members, tell)
    if volume is None:
        raise _nothing(found, len(members))
    tell.decoded(1, 1)
    return volume


class _Telling:
    """Progress in equal halves: looking at the files, then decoding those that were chosen."""

    def __init__(self, progress: Progress | None, members: int) -> None:
        self.progress, self.members = progress, members

    def scanned(self, done: int) -> None:
        if self.progress:
            self.progress(done, 2 * self.members)

    def decoded(self, done: int, total: int) -> None:
        if self.progress:
            self.progress(self.members + self.members * done // total, 2 * self.members)


class _Loader:
    """Members by index as (kind, plain bytes); the last one read is kept, so a lone file is read once."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.members = members
        self.last: tuple[int, str, bytes] | None = None

    def __call__(self, number: int) -> tuple[str, bytes]:
        if self.last is None or self.last[0] != number:
            self.last = (number, *unpacked(self.members[number].load()))
        return self.last[1], self.last[2]


def unpacked(data: bytes) -> tuple[str, bytes]:
    """(kind by `sniff`, bytes), one gzip layer removed. Raises TooLargeError, DamagedFileError."""
    kind = sniff.sniff(data[: sniff.HEAD])
    if kind != "gzip":
        return kind, data
    plain = archive.gunzip(data)
    kind = sniff.sniff(plain[: sniff.HEAD])
    return ("", plain) if kind in ("gzip", "zip") else (kind, plain)


def _not_an_image(kind: str, data: bytes) -> InputError:
    if kind == "zip":
        return InputError("An archive inside a folder or archive is not opened. Give it on its own.")
    return sniff.foreign(data)


def _dicom_candidates(number: int, name: str, data: bytes) -> list[Candidate]:
    from .dicom import decode as dicom
    from .dicom import stack

    facts = dicom.facts(dicom.parse(data, with_pixels=False))
    many = len(facts) > 1
    return [stack.Candidate(number, f"{name} frame {f.index}" if many else name, f) for f in facts]


def _dicom_volume(
    loaded: _Loader, candidates: list[Candidate], found: _Found, tell: _Telling, *, strict: bool
) -> Volume | None:
    from .dicom import stack

    choice = stack.choose(candidates, strict=strict)
    found.left_out.extend(choice.left_out)
    if not choice.chosen:
        return None
    first = choice.chosen[0].frame
    limits.check_volume(len(choice.chosen), first.rows, first.columns)
    images: dict[int, Slice] = {}
    for place, image in _decoded(loaded, choice.chosen, found):
        images[place] = image
        tell.decoded(len(images), len(choice.chosen))
    kept = _one_unit(images, [c.name for c in choice.chosen], found)
    if not kept:
        return None
    others = [loaded.members[n].name for n in found.nifti] + [loaded.members[n].name for n, _ in found.pictures]
    found.left_out.extend(LeftOut(n, "It is not DICOM, unlike the series that is used.") for n in others)
    along = [choice.chosen[p].frame.along for p in kept]
    positions = tuple(a for a in along if a is not None)
    stated = positions if len(positions) == len(kept) else None
    notes = (*choice.notes, *(stack.spacing_notes(stated) if stated else ()))
    return _volume(tuple(images[p] for p in kept), stated, notes, found)


def _decoded(loaded: _Loader, chosen: tuple[Candidate, ...], found: _Found) -> Iterator[tuple[int, Slice]]:
    """(place in the series, slice), file by file; a file that cannot be decoded is left out."""
    from .dicom import decode as dicom

    by_file: dict[int, list[tuple[int, Candidate]]] = {}
    for place, candidate in enumerate(chosen):
        by_file.setdefault(candidate.member, []).append((place, candidate))
    for number, placed in by_file.items():
        placed.sort(key=lambda p: p[1].frame.index)
        try:
            _, data = loaded(number)
            images = dicom.slices(dicom.parse(data), [c.frame for _, c in placed], hashlib.sha256(data).hexdigest())
            for (place, _), image in zip(placed, images, strict=True):
                yield place, image
        except InputError as error:
            found.leave_out(loaded.members[number].name, error)


def _one_unit(images: dict[int, Slice], names: list[str], found: _Found) -> list[int]:
    """The places, in order, of the images in the unit of most of them."""
    if not images:
        return []
    unit = Counter(i.unit for i in images.values()).most_common(1)[0][0]
    for place in sorted(images):
        if images[place].unit != unit:
            found.left_out.append(LeftOut(names[place], "Its values are not in the unit of the rest of the series."))
    return [p for p in sorted(images) if images[p].unit == unit]


def _nifti_volume(loaded: _Loader, found: _Found, members: tuple[Member, ...]) -> Volume | None:
    from . import nifti

    volume = None
    for number in found.nifti:
        if volume is not None:
            found.left_out.append(LeftOut(members[number].name, "Only the first NIfTI file is read."))
            continue
        try:
            volume = nifti.read(loaded(number)[1])
        except InputError as error:
            found.leave_out(members[number].name, error)
    if volume is None:
        return None
    others = [LeftOut(members[n].name, "It is not the NIfTI file that is read.") for n, _ in found.pictures]
    left_out = (*found.left_out, *others)
    return Volume(volume.slices, volume.positions, left_out, volume.notes, volume.sha256)


def _picture_volume(loaded: _Loader, found: _Found, members: tuple[Member, ...], tell: _Telling) -> Volume | None:
    """Pictures of the commonest size, in the order of the members."""
    from . import image

    pictures: list[tuple[str, Slice]] = []
    pixels = 0
    for done, (number, kind) in enumerate(found.pictures, 1):
        name = members[number].name
        try:
            _, data = loaded(number)
            count = image.pages(data) if kind == "tiff" else 1
            for page in range(count):
                pictures.append((name, image.read(data, kind, page)))
                pixels += pictures[-1][1].pixels.size
                if pixels > limits.MAX_VOXELS:
                    break
        except InputError as error:
            found.leave_out(name, error)
        limits.check_voxels(pixels)
        tell.decoded(done, len(found.pictures))
    if not pictures:
        return None
    shape = Counter(p.shape for _, p in pictures).most_common(1)[0][0]
    found.left_out.extend(
        LeftOut(n, "It is of another size than the rest of the series.") for n, p in pictures if p.shape != shape
    )
    kept = tuple(p for _, p in pictures if p.shape == shape)
    return _volume(kept, None, (_ORDER_FROM_NAMES,) if len(kept) > 1 else (), found)


def _volume(
    slices: tuple[Slice, ...], positions: tuple[float, ...] | None, notes: tuple[str, ...], found: _Found
) -> Volume:
    """The volume with the slices' own notes once each, and the number of files left out."""
    own = dict.fromkeys(n for s in slices for n in s.notes)
    count = len(found.left_out)
    left = (f"{count} file{'s were' if count > 1 else ' was'} left out of the series.",) if count else ()
    hashes = list(dict.fromkeys(s.sha256 for s in slices))
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    return Volume(slices, positions, tuple(found.left_out), (*notes, *left, *own), sha256)


def _nothing(found: _Found, count: int) -> InputError:
    """Why no series came out: the error itself for one file, else the commonest reason."""
    if count == 1 and found.errors:
        return found.errors[0]
    # what a header says comes last in the list and, between equals, explains more than an unreadable file
    reason = Counter(item.reason for item in reversed(found.left_out)).most_common(1)[0][0]
    alike = {type(e) for e in found.errors} if len(found.errors) == len(found.left_out) else set()
    kind = alike.pop() if len(alike) == 1 else InputError
    return kind(f"None of these {count} files can be used as a slice of a head CT series. Most often: {reason}")

"""Folders, archives, lists and multi-frame files to a volume ordered from the feet to the head."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from strokenext.errors import InputError
from strokenext.types import LeftOut, Progress, Slice, Volume

from . import archive, limits, sniff
from .members import Member
from .source import Bundle

if TYPE_CHECKING:
    from strokenext.io.dicom.reading import Reading
    from strokenext.io.dicom.stack import Candidate

_ORDER_FROM_NAMES = "The order of the slices comes from the file names; pictures state no position."


@dataclass
class _Scan:
    """The members, what the first pass found each to be (by index), what was left out, and progress so far.

    Progress is told in equal halves: looking at the files, then decoding those that were chosen. The member read
    last is kept, so a lone file is read once.
    """

    members: tuple[Member, ...]
    progress: Progress | None
    dicom: list[Candidate] = field(default_factory=list)
    nifti: list[int] = field(default_factory=list)
    pictures: list[tuple[int, str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)
    last: tuple[int, str, bytes] | None = None

    def load(self, number: int) -> tuple[str, bytes]:
        """(kind, plain bytes) of a member."""
        if self.last is None or self.last[0] != number:
            self.last = (number, *unpacked(self.members[number].load()))
        return self.last[1], self.last[2]

    def fail(self, number: int, error: InputError) -> None:
        self.leave_out([self.members[number].name], str(error))
        self.errors.append(error)

    def leave_out(self, names: Iterable[str], reason: str) -> None:
        self.left_out.extend(LeftOut(name, reason) for name in names)

    def scanned(self, done: int) -> None:
        if self.progress:
            self.progress(done, 2 * len(self.members))

    def decoded(self, done: int, total: int) -> None:
        self.scanned(len(self.members) + len(self.members) * done // total)


def read(bundle: Bundle, progress: Progress | None = None) -> Volume:
    """The one series worth reading among the members; the rest is in `left_out` with a sentence each.

    Raises InputError (or the members' own error class when all fail alike) when nothing can be used.
    """
    scan = _Scan(bundle.members, progress)
    for number in range(len(scan.members)):
        try:
            _look(scan, number)
        except InputError as error:
            scan.fail(number, error)
        limits.check_images(len(scan.dicom) + len(scan.pictures))
        scan.scanned(number + 1)
    volume = _dicom_volume(scan, strict=bundle.listed) if scan.dicom else None
    if volume is None and scan.nifti:
        volume = _nifti_volume(scan)
    if volume is None and scan.pictures:
        volume = _picture_volume(scan)
    if volume is None:
        raise _nothing(scan)
    scan.decoded(1, 1)
    return volume


def _look(scan: _Scan, number: int) -> None:
    """What a member is. Raises InputError for what holds no image."""
    kind, data = scan.load(number)
    if kind == "dicom":
        from .dicom import decode as dicom
        from .dicom import stack

        name, facts = scan.members[number].name, dicom.facts(dicom.parse(data, with_pixels=False))
        many = len(facts) > 1
        scan.dicom += [stack.Candidate(number, f"{name} frame {f.index}" if many else name, f) for f in facts]
    elif kind == "nifti":
        scan.nifti.append(number)
    elif kind in sniff.IMAGE_KINDS:
        scan.pictures.append((number, kind))
    elif kind == "zip":
        raise InputError("An archive inside a folder or archive is not opened. Give it on its own.")
    else:
        raise sniff.foreign(data)


def unpacked(data: bytes) -> tuple[str, bytes]:
    """(kind by `sniff`, bytes), one gzip layer removed. Raises TooLargeError, DamagedFileError."""
    kind = sniff.sniff(data[: sniff.HEAD])
    if kind != "gzip":
        return kind, data
    plain = archive.gunzip(data)
    kind = sniff.sniff(plain[: sniff.HEAD])
    return ("", plain) if kind in ("gzip", "zip") else (kind, plain)


def _dicom_volume(scan: _Scan, *, strict: bool) -> Volume | None:
    from .dicom import stack

    choice = stack.choose(scan.dicom, strict=strict)
    scan.left_out.extend(choice.left_out)
    if not choice.chosen:
        return None
    first = choice.chosen[0].frame
    limits.check_volume(len(choice.chosen), first.rows, first.columns)
    images: dict[int, Slice] = {}
    for place, image in _decoded(scan, choice.chosen):
        images[place] = image
        scan.decoded(len(images), len(choice.chosen))
    if not images:
        return None
    kept = _one_unit(scan, images, choice.chosen)
    others = [scan.members[n].name for n in (*scan.nifti, *(n for n, _ in scan.pictures))]
    scan.leave_out(others, "It is not DICOM, unlike the series that is used.")
    along = [choice.chosen[p].frame.along for p in kept]
    positions = tuple(a for a in along if a is not None)
    stated = positions if len(positions) == len(kept) else None
    notes = (*choice.notes, *(stack.spacing_notes(stated) if stated else ()))
    return _volume(scan, tuple(images[p] for p in kept), stated, notes)


def _decoded(scan: _Scan, chosen: tuple[Candidate, ...]) -> Iterator[tuple[int, Slice]]:
    """(place in the series, slice), file by file; a file that cannot be decoded is left out."""
    from .dicom import decode as dicom

    by_file: dict[int, list[tuple[int, Candidate]]] = {}
    for place, candidate in enumerate(chosen):
        by_file.setdefault(candidate.member, []).append((place, candidate))
    how = _reading(scan, chosen[len(chosen) // 2]) if len(chosen) > 1 else None
    for number, placed in by_file.items():
        placed.sort(key=lambda p: p[1].frame.index)
        try:
            _, data = scan.load(number)
            images = dicom.slices(
                dicom.parse(data), [c.frame for _, c in placed], hashlib.sha256(data).hexdigest(), how
            )
            for (place, _), image in zip(placed, images, strict=True):
                yield place, image
        except InputError as error:
            scan.fail(number, error)


def _reading(scan: _Scan, middle: Candidate) -> Reading | None:
    """How the series becomes HU by its middle, which shows brain; None when that slice cannot be decoded."""
    from .dicom import decode as dicom

    try:
        return dicom.reading_of(dicom.parse(scan.load(middle.member)[1]), middle.frame)
    except InputError:
        return None


def _one_unit(scan: _Scan, images: dict[int, Slice], chosen: tuple[Candidate, ...]) -> list[int]:
    """The places, in order, of the images in the unit of most of them."""
    unit = Counter(i.unit for i in images.values()).most_common(1)[0][0]
    others = [chosen[p].name for p in sorted(images) if images[p].unit != unit]
    scan.leave_out(others, "Its values are not in the unit of the rest of the series.")
    return [p for p in sorted(images) if images[p].unit == unit]


def _nifti_volume(scan: _Scan) -> Volume | None:
    from . import nifti

    volume = None
    for number in scan.nifti:
        if volume is not None:
            scan.leave_out([scan.members[number].name], "Only the first NIfTI file is read.")
            continue
        try:
            volume = nifti.read(scan.load(number)[1])
        except InputError as error:
            scan.fail(number, error)
    if volume is None:
        return None
    scan.leave_out([scan.members[n].name for n, _ in scan.pictures], "It is not the NIfTI file that is read.")
    return replace(volume, left_out=tuple(scan.left_out))


def _picture_volume(scan: _Scan) -> Volume | None:
    """Pictures of the commonest size, in the order of the members."""
    from .picture import image

    pictures: list[tuple[str, Slice]] = []
    pixels = 0
    for done, (number, kind) in enumerate(scan.pictures, 1):
        try:
            _, data = scan.load(number)
            for picture in image.read_all(data, kind):
                pictures.append((scan.members[number].name, picture))
                pixels += pictures[-1][1].pixels.size
                if pixels > limits.MAX_VOXELS:
                    break
        except InputError as error:
            scan.fail(number, error)
        limits.check_voxels(pixels)
        scan.decoded(done, len(scan.pictures))
    if not pictures:
        return None
    shape = Counter(p.shape for _, p in pictures).most_common(1)[0][0]
    scan.leave_out((n for n, p in pictures if p.shape != shape), "It is of another size than the rest of the series.")
    kept = tuple(p for _, p in pictures if p.shape == shape)
    return _volume(scan, kept, None, (_ORDER_FROM_NAMES,) if len(kept) > 1 else ())


def _volume(
    scan: _Scan, slices: tuple[Slice, ...], positions: tuple[float, ...] | None, notes: tuple[str, ...]
) -> Volume:
    """The volume with the slices' own notes once each, and the number of files left out."""
    own = dict.fromkeys(n for s in slices for n in s.notes)
    count = len(scan.left_out)
    left = (f"{count} file{'s were' if count > 1 else ' was'} left out of the series.",) if count else ()
    hashes = list(dict.fromkeys(s.sha256 for s in slices))
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    cautions = tuple(dict.fromkeys(c for s in slices for c in s.cautions))
    return Volume(slices, positions, tuple(scan.left_out), (*notes, *left, *own), sha256, cautions)


def _nothing(scan: _Scan) -> InputError:
    """Why no series came out: the error itself for one file, else the commonest reason."""
    count = len(scan.members)
    if count == 1 and scan.errors:
        return scan.errors[0]
    # what a header says comes last in the list and, between equals, explains more than an unreadable file
    reason = Counter(item.reason for item in reversed(scan.left_out)).most_common(1)[0][0]
    alike = {type(e) for e in scan.errors} if len(scan.errors) == len(scan.left_out) else set()
    kind = alike.pop() if len(alike) == 1 else InputError
    return kind(f"None of these {count} files can be used as a slice of a head CT series. Most often: {reason}")

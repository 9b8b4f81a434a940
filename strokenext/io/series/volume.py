"""One series to its slices, decoded file by file; a file that cannot be decoded is left out with its sentence."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from strokenext.errors import InputError
from strokenext.io import limits
from strokenext.types import Caution, LeftOut, Slice, Volume

from .order import Ordered, again
from .pictures import Run
from .scan import Candidate, Failed, Scan

if TYPE_CHECKING:
    from strokenext.io.dicom.reading import Reading

#: Told (images done, images in all).
Steps = Callable[[int, int], None]
_OTHER_UNIT = "Its values are not in the unit of the rest of the series."
_OTHER_SIZE = "It is of another size than the rest of the series."


@dataclass
class Decoded:
    """A volume, or None when nothing of it could be decoded; the name of each slice's file; what was left out."""

    volume: Volume | None
    names: tuple[str, ...] = ()
    left_out: list[LeftOut] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)


def dicom(found: Scan, stack: Ordered, steps: Steps, labels: bool) -> Decoded:
    """The slices of a stack, feet to head."""
    first = stack.images[0].frame
    limits.check_volume(len(stack.images), first.rows, first.columns)
    result = Decoded(None)
    images: dict[int, Slice] = {}
    for place, image in _slices(found, stack.images, result, labels):
        images[place] = image
        steps(len(images), len(stack.images))
    if not images:
        return result
    unit = Counter(i.unit for i in images.values()).most_common(1)[0][0]
    kept = [p for p in sorted(images) if images[p].unit == unit]
    result.left_out += [LeftOut(stack.images[p].name, _OTHER_UNIT) for p in sorted(images) if images[p].unit != unit]
    rest = again(stack, kept)
    result.volume = assembled([images[p] for p in kept], rest.positions, rest.notes, rest.cautions)
    result.names = tuple(found.members[c.member].name for c in rest.images)
    return result


def nifti(found: Scan, member: int, steps: Steps) -> Decoded:
    """The slices of a NIfTI file."""
    from strokenext.io import nifti as reader

    result = Decoded(None)
    try:
        result.volume = reader.read(found.load(member)[1])
    except InputError as error:
        result.failed.append(Failed(member, error))
        return result
    result.names = (found.members[member].name,) * len(result.volume)
    steps(1, 1)
    return result


def pictures(found: Scan, run: Run, steps: Steps) -> Decoded:
    """The pictures of a run, with all pages and frames of each, of the commonest size and unit."""
    from strokenext.io.picture import image

    result = Decoded(None)
    decoded: list[tuple[str, Slice]] = []
    voxels = 0
    for done, (member, kind) in enumerate(zip(run.members, run.kinds, strict=True), 1):
        try:
            for picture in image.read_all(found.load(member)[1], kind):
                decoded.append((found.members[member].name, picture))
                voxels += picture.pixels.size
                limits.check_voxels(voxels)
        except InputError as error:
            if voxels > limits.MAX_VOXELS:
                raise
            result.failed.append(Failed(member, error))
        steps(done, len(run.members))
    if not decoded:
        return result
    alike = Counter((p.shape, p.unit) for _, p in decoded).most_common(1)[0][0]
    kept = [(name, p) for name, p in decoded if (p.shape, p.unit) == alike]
    for name, p in decoded:
        if (p.shape, p.unit) != alike:
            result.left_out.append(LeftOut(name, _OTHER_SIZE if p.shape != alike[0] else _OTHER_UNIT))
    notes = tuple(c.sentence for c in run.cautions)
    result.volume = assembled([p for _, p in kept], None, notes, run.cautions)
    result.names = tuple(name for name, _ in kept)
    return result


def assembled(
    slices: Sequence[Slice], positions: tuple[float, ...] | None, notes: Sequence[str], cautions: Sequence[Caution]
) -> Volume:
    """A volume with what is noted of its slices once each, and one fingerprint."""
    own = dict.fromkeys(n for s in slices for n in s.notes)
    theirs = dict.fromkeys((*cautions, *(c for s in slices for c in s.cautions)))
    hashes = list(dict.fromkeys(s.sha256 for s in slices))
    sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    label = next((s.label for s in slices if s.label is not None), None)
    return Volume(tuple(slices), positions, (), (*notes, *own), sha256, tuple(theirs), label)


def single(volume: Volume) -> Slice:
    """The slice of a volume of one, with everything that is said about the volume."""
    one = volume[0]
    return replace(one, notes=volume.notes, cautions=volume.cautions, label=volume.label, sha256=volume.sha256)


def _slices(found: Scan, images: Sequence[Candidate], result: Decoded, labels: bool) -> Iterator[tuple[int, Slice]]:
    """(place in the stack, slice), file by file."""
    from strokenext.io.dicom import decode

    by_file: dict[int, list[tuple[int, Candidate]]] = {}
    for place, c in enumerate(images):
        by_file.setdefault(c.member, []).append((place, c))
    how = _reading(found, images[len(images) // 2]) if len(images) > 1 else None
    for number, placed in by_file.items():
        placed.sort(key=lambda p: p[1].frame.index)
        try:
            _, data = found.load(number)
            frames, digest = [c.frame for _, c in placed], hashlib.sha256(data).hexdigest()
            decoded = decode.slices(decode.parse(data), frames, digest, how, labels=labels)
            for (place, _), image in zip(placed, decoded, strict=True):
                yield place, image
        except InputError as error:
            result.failed.append(Failed(number, error))


def _reading(found: Scan, middle: Candidate) -> Reading | None:
    """How the series becomes HU by its middle, which shows brain; None when that slice cannot be decoded."""
    from strokenext.io.dicom import decode

    try:
        return decode.reading_of(decode.parse(found.load(middle.member)[1]), middle.frame)
    except InputError:
        return None

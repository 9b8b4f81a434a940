"""The series of a source as entries of one list: DICOM stacks, NIfTI files, pictures, in the order of their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from strokenext.errors import InputError
from strokenext.io.dicom.kernel import KernelKind
from strokenext.types import LeftOut

from . import pictures, same_place, tell_apart, volume
from .order import Ordered, ordered
from .pictures import Run
from .scan import Candidate, Scan
from .volume import Decoded, Steps

_REPEAT = "It holds the same pixels at the same position as another file, which is used."


@dataclass(frozen=True)
class Entry:
    """One series: what it is, and what it is decoded from (`what`)."""

    kind: str  # "dicom", "nifti" or "picture"
    what: Ordered | Run | int
    members: tuple[int, ...]  # the member that each image is in, in order
    files: tuple[str, ...]  # and its name
    study: str = ""  # a hash
    series: str = ""  # a hash
    modality: str | None = None
    kernel: KernelKind = "unknown"
    contrast: bool | None = None
    thickness: float | None = None
    extent: float | None = None
    window: float | None = None  # width of the file's first, in HU
    clear: bool = False  # stated as an axial CT stack with positions, and nothing speaks against it
    capture: bool = False
    part: int = 1
    parts: int = 1
    unusable: str = ""
    description: str = ""


def entries(found: Scan, *, strict: bool, labels: bool) -> tuple[list[Entry], list[LeftOut]]:
    """Every series, in the order of their first files, and the files that repeat another; failures go to the scan.

    Not strict, for one file given on its own: what is no axial CT may be judged all the same, and the gate refuses it.
    """
    stacks, repeats = _stacks(found)
    listed = _parted([_of_stack(found, stack, labels) for stack in stacks])
    if not strict and all(e.unusable for e in listed):
        listed = [replace(e, unusable="") for e in listed]
    listed += [Entry("nifti", n, (n,), _names(found, (n,))) for n in found.nifti]
    listed += [_of_run(found, run) for run in pictures.runs(found, _sizes(found))]
    listed.sort(key=lambda e: (min(e.members), e.part))
    return listed, [LeftOut(c.name, _REPEAT) for c in repeats]


def decode(found: Scan, entry: Entry, steps: Steps, labels: bool) -> Decoded:
    """The slices of a series."""
    if isinstance(entry.what, Ordered):
        return volume.dicom(found, entry.what, steps, labels)
    if isinstance(entry.what, Run):
        return volume.pictures(found, entry.what, steps)
    return volume.nifti(found, entry.what, steps)


def _stacks(found: Scan) -> tuple[list[list[Candidate]], list[Candidate]]:
    """The DICOM images as stacks with one image at each position, and the repeats."""
    stacks: list[list[Candidate]] = []
    repeats: list[Candidate] = []
    for stack in tell_apart.stacks(found.dicom):
        if stack[0].frame.unfit is not None:
            stacks.append(stack)  # nobody reads it, so nothing is to be told apart
            continue
        resolved = same_place.resolve(found, stack)
        stacks += resolved.stacks
        repeats += resolved.repeats
        found.failed += [f for f in resolved.failed if f.member not in {g.member for g in found.failed}]
    return stacks, repeats


def _of_stack(found: Scan, stack: Sequence[Candidate], labels: bool) -> Entry:
    order = ordered(stack)
    first, traits = order.images[0].frame, order.images[0].traits
    stated = first.header.modality == "CT" and first.header.axial is True
    return Entry(
        kind="dicom",
        what=order,
        members=(places := tuple(c.member for c in order.images)),
        files=_names(found, places),
        study=traits.study,
        series=traits.series or traits.reference,
        modality=first.header.modality,
        kernel=Counter(c.traits.kernel for c in stack).most_common(1)[0][0],
        contrast=True if any(c.traits.contrast for c in stack) else traits.contrast,
        thickness=_median([c.frame.header.slice_thickness for c in stack]),
        extent=_extent(order),
        window=first.windows[0].width if first.windows else None,
        clear=stated
        and first.position is not None
        and first.header.scope_problem is None
        and not first.secondary_capture,
        capture=first.secondary_capture,
        unusable=first.unfit or "",
        description=_description(found, order.images[0]) if labels else "",
    )


def _description(found: Scan, c: Candidate) -> str:
    from strokenext.io.dicom import decode as dicom
    from strokenext.io.dicom.label import label

    try:
        return label(dicom.parse(found.load(c.member)[1], with_pixels=False), c.frame.index).series
    except InputError:
        return ""


def _parted(listed: list[Entry]) -> list[Entry]:
    """The entries with their part, where several carry the identifier of one series."""
    usable = [e for e in listed if not e.unusable and e.series]
    counts = Counter((e.study, e.series) for e in usable)
    seen: Counter[tuple[str, str]] = Counter()
    parted = []
    for e in listed:
        if e in usable and counts[e.study, e.series] > 1:
            seen[e.study, e.series] += 1
            e = replace(e, part=seen[e.study, e.series], parts=counts[e.study, e.series])
        parted.append(e)
    return parted


def _sizes(found: Scan) -> list[tuple[int, int] | None]:
    """(rows, columns) of each picture; None for one whose size only decoding tells, or that holds several images."""
    from strokenext.io.picture import image

    sizes: list[tuple[int, int] | None] = []
    for number, kind in found.pictures:
        try:
            data = found.load(number)[1]
            sizes.append(image.size(data) if image.pages(data, kind) == 1 else None)
        except InputError:
            sizes.append(None)  # reading it says what is wrong with it
    return sizes


def _of_run(found: Scan, run: Run) -> Entry:
    return Entry("picture", run, run.members, _names(found, run.members))


def _names(found: Scan, numbers: Sequence[int]) -> tuple[str, ...]:
    return tuple(found.members[n].name for n in numbers)


def _extent(order: Ordered) -> float | None:
    """mm from the first slice to the last; 0 for images of one place (bolus tracking), None for zeroed positions."""
    if order.positions:
        return order.positions[-1] - order.positions[0]
    stated = {c.frame.position for c in order.images}
    return 0.0 if len(stated) == 1 and any(stated.pop() or ()) else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None

"""Which series is judged: the soft-tissue reconstruction without contrast that covers the head, where that is clear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .entries import Entry

if TYPE_CHECKING:
    from .survey import SeriesFacts

#: Slices of the training data are about this thick, in mm; a series twice as thin is another kind of reading.
TRAINED = 5.0
#: A series that covers less than this share of the head that another one covers does not compete with it.
COMPARABLE = 0.5
#: A preferred series with fewer images than this is a sample (bolus tracking), and no reason to ask.
SAMPLE = 3
_KERNELS = {"soft": 0, "unknown": 1, "bone": 2}
_CONTRAST = {False: 0, None: 1, True: 2}


def choose(listed: Sequence[Entry]) -> tuple[int | None, int | None]:
    """(the number of the series to judge or None to ask, the best guess or None when nothing is usable)."""
    usable = [(number, e) for number, e in enumerate(listed, 1) if not e.unusable]
    if not usable:
        return None, None
    tier = min(_tier(e) for _, e in usable)
    pool = [(number, e) for number, e in usable if _tier(e) == tier]
    widest = max(_coverage(e) for _, e in pool)
    wide = [(number, e) for number, e in pool if _coverage(e) >= COMPARABLE * widest]
    guess, best = min(wide, key=lambda one: (*_rank(one[1]), _window(one[1]), *_size(one[1]), one[0]))
    rivals = [e for _, e in wide if e is not best and _alike(e, best)]
    better = [e for _, e in pool if len(e.files) >= SAMPLE and _rank(e)[:2] < _rank(best)[:2]]
    studies = {e.study for _, e in usable if e.kind == "dicom"}
    clear = not rivals and not better and len(studies) <= 1
    return (guess if clear else None), guess


def reasons(listed: Sequence[Entry], guess: int | None, clear: bool) -> tuple[str, ...]:
    """For a list to choose from: of each series why it is, or is not, the one that is judged unless told otherwise."""
    if guess is None:
        return tuple(e.unusable for e in listed)
    best = listed[guess - 1]
    widest = max(_coverage(e) for e in listed if not e.unusable and _tier(e) == _tier(best))
    own = _as_judged(listed, clear)
    return tuple(e.unusable or (own if e is best else _beside(e, best, guess, widest)) for e in listed)


def other_reason(other: SeriesFacts, used: SeriesFacts) -> str:
    """Why the files of a series that is not read are not in the one that is."""
    if not other.usable:
        return other.reason
    where = "another study" if other.study != used.study and other.study and used.study else "another series"
    if other.kind != used.kind:
        where = "another kind of file and so to another series"
    return f"It belongs to {where} ({other.words}); series {used.number} is used."


def _as_judged(listed: Sequence[Entry], clear: bool) -> str:
    if not clear:
        return "The best guess, but it is not clear that it is meant."
    if sum(not e.unusable for e in listed) == 1:
        return "The only series that can be judged."
    return "Judged unless another is chosen: it is the most like the training data."


def _beside(e: Entry, best: Entry, guess: int, widest: float) -> str:
    """The first thing that puts a series behind the best, in the order in which they are compared."""
    contrast = "With contrast medium." if e.contrast else "Whether contrast medium was given is not stated."
    kernel = "A sharp (bone) kernel." if e.kernel == "bone" else "Its kernel is not known."
    thick = f"Slices of {e.thickness:g} mm; those of the training data have {TRAINED:g} mm." if e.thickness else ""
    stated = "Nothing states that it is an axial head CT." if _tier(e) == 1 else "It states less than DICOM does."
    differences = (
        (_tier(e) > _tier(best), stated),
        (_coverage(e) < COMPARABLE * widest, "It covers less of the head."),
        (_CONTRAST[e.contrast] > _CONTRAST[best.contrast], contrast),
        (_KERNELS[e.kernel] > _KERNELS[best.kernel], kernel),
        (_rank(e) > _rank(best), thick or "Its slice thickness is not known."),
        (_alike(e, best), f"Nothing that matters tells it apart from series {guess}."),
        (_window(e) > _window(best), "Its window is wider, as for bone."),
        (True, f"It is not as large as series {guess}."),
    )
    apart = "Another study. " if e.kind == best.kind == "dicom" and e.study != best.study else ""
    return apart + next(sentence for told, sentence in differences if told)


def _tier(e: Entry) -> int:
    """DICOM stated as axial CT first, then other DICOM, NIfTI, pictures."""
    return (0 if e.clear else 1) if e.kind == "dicom" else 2 if e.kind == "nifti" else 3


def _coverage(e: Entry) -> float:
    """mm of the head, or a guess of it where no positions are stated."""
    thickness = e.thickness or TRAINED
    return e.extent + thickness if e.extent is not None else len(e.files) * thickness


def _rank(e: Entry) -> tuple[int, int, float]:
    """Native before contrast, soft before bone, then the thickness nearest to that of the training data."""
    away = abs(math.log(e.thickness / TRAINED)) if e.thickness else 1.0
    return _CONTRAST[e.contrast], _KERNELS[e.kernel], round(away, 1)


def _window(e: Entry) -> float:
    """The width of the file's own window: the narrow one marks soft tissue."""
    return e.window if e.window is not None else 1e6


def _size(e: Entry) -> tuple[float, int]:
    """The larger first."""
    return -_coverage(e), -len(e.files)


def _alike(one: Entry, other: Entry) -> bool:
    """Whether nothing that matters to the models tells two series apart."""
    narrow = [e.window is not None and e.window < 1000 for e in (one, other)]
    told = one.kernel == other.kernel == "unknown" and narrow[0] != narrow[1]
    return _rank(one) == _rank(other) and not told

"""Which pictures are a series: those that are numbered one after the other and look it, for pictures state nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from strokenext.errors import InputError
from strokenext.io.members import natural
from strokenext.types import Caution, FloatArray

from . import resemblance
from .scan import Scan

#: Fewer pictures than this are no series, and more are a data set of many patients, not a scan of one.
FEWEST, MOST = 3, 600
_NUMBER = re.compile(r"\d{1,9}")
ORDER_FROM_NAMES = "The order of the slices comes from the file names; pictures state no position."
ORDER_AS_GIVEN = "The order of the slices is that in which the pictures were given; pictures state no position."
JOINED = "These pictures are read as one scan because neighbours look alike; nothing else says that they are of one."
APART = "Pictures numbered like this one do not look like slices of one scan, so each is a case of its own."


@dataclass(frozen=True)
class Run:
    """Pictures that are read as one: `members` in order, their kinds, and what is to be said about their order."""

    members: tuple[int, ...]
    kinds: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()


def runs(found: Scan, sizes: Sequence[tuple[int, int] | None]) -> list[Run]:
    """A run for pictures of one size whose names differ by one number that counts on and whose neighbours look like
    slices of one scan; one for every other picture.

    A number may be missing here and there, of every two in a row at least one is there. Pictures without a name of
    their own (bytes in a list) are in the order they came.
    """
    groups: dict[object, list[tuple[int, int]]] = defaultdict(list)  # (place among the pictures, number in the name)
    for place, (member, _) in enumerate(found.pictures):
        groups[_stem(found, member, sizes[place])].append((place, _count(found, member, place)))
    split = [run for stem, group in groups.items() for run in _split(found, stem, group)]
    split.sort(key=lambda run: natural(found.members[found.pictures[run[0][0]][0]].name))
    return [one for run in split for one in _seen(found, run)]


def _split(found: Scan, stem: object, group: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    if stem is None:
        return [[one] for one in group]
    return _consecutive(group) if found.members[found.pictures[group[0][0]][0]].named else [group]


def _stem(found: Scan, member: int, size: tuple[int, int] | None) -> object:
    """Where the name's last number stands in it, its folder and the size; None where there is no number."""
    one = found.members[member]
    if size is None:
        return None
    if not one.named:
        return "given", size
    stem, dot, ending = one.name.rpartition(".")
    number = list(_NUMBER.finditer(stem if dot else one.name))
    if not number:
        return None
    last = number[-1]
    text = stem if dot else one.name
    return one.folder, text[: last.start()].lower(), text[last.end() :].lower(), ending.lower() if dot else "", size


def _count(found: Scan, member: int, place: int) -> int:
    one = found.members[member]
    numbers = _NUMBER.findall(one.name.rpartition(".")[0] or one.name)
    return int(numbers[-1]) if one.named and numbers else place


def _consecutive(group: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Runs in which the number grows by one or, where one is missing, by two; else every picture alone."""
    rising = sorted(group, key=lambda g: (g[1], g[0]))
    found: list[list[tuple[int, int]]] = [[rising[0]]]
    for before, here in pairwise(rising):
        if 1 <= here[1] - before[1] <= 2:
            found[-1].append(here)
        else:
            found.append([here])
    return [run for part in found for run in ([part] if FEWEST <= len(part) <= MOST else [[one] for one in part])]


def _seen(found: Scan, run: list[tuple[int, int]]) -> list[Run]:
    """A run by names as its pictures say: whole, cut between two scans, or every picture alone."""
    if len(run) == 1:
        return [_run(found, run)]
    if not FEWEST <= len(run) <= MOST:
        return [_run(found, [one], apart=True) for one in run]
    shown = [_shrunk(found, place) for place, _ in run]
    known = [n for n, picture in enumerate(shown) if picture is not None]
    parts = resemblance.parts([picture for picture in shown if picture is not None])
    # A picture that shows nothing, or cannot be read, stays with the one before it.
    starts = [0, *(known[part.start] for part in parts[1:]), len(run)]
    found_runs: list[Run] = []
    for (first, end), part in zip(pairwise(starts), parts or [range(1)], strict=True):
        here = run[first:end]
        found_runs += [_run(found, here)] if len(part) > 1 else [_run(found, [one], apart=True) for one in here]
    return found_runs


def _shrunk(found: Scan, place: int) -> FloatArray | None:
    from strokenext.io.picture import image

    number, kind = found.pictures[place]
    try:
        return resemblance.shrunk(image.read(found.load(number)[1], kind))
    except InputError:
        return None  # reading the series says what is wrong with it


def _run(found: Scan, run: list[tuple[int, int]], apart: bool = False) -> Run:
    members = tuple(found.pictures[place][0] for place, _ in run)
    kinds = tuple(found.pictures[place][1] for place, _ in run)
    if len(run) == 1:
        return Run(members, kinds, (Caution("pictures-apart", APART),) if apart else ())
    named = found.members[members[0]].named
    cautions = [
        Caution("pictures-joined", JOINED),
        Caution("order-unknown", ORDER_FROM_NAMES if named else ORDER_AS_GIVEN),
    ]
    missing = run[-1][1] - run[0][1] + 1 - len(run)
    if missing > 0:
        what = "slice seems" if missing == 1 else "slices seem"
        cautions.append(Caution("missing-slices", f"{missing} {what} to be missing by the names of the pictures."))
    return Run(members, kinds, tuple(cautions))

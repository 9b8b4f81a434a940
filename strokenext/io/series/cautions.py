"""What has to be said beside an answer about one series of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from strokenext.types import Caution, LeftOut, Volume

if TYPE_CHECKING:
    from .survey import SeriesFacts

#: Other series that are named one by one.
NAMED = 4


def about(
    series: Sequence[SeriesFacts], used: SeriesFacts, chosen: bool, guessed: bool, lost: Sequence[LeftOut]
) -> tuple[Caution, ...]:
    """The cautions of the choice: `chosen` when it was clear, `guessed` when it is the best guess of an unclear one."""
    usable = [s for s in series if s.usable]
    others = [s for s in usable if s.number != used.number]
    found = []
    studies = {s.study for s in usable if s.study}
    if len(studies) > 1:
        found.append(
            Caution(
                "several-studies", f"There are {len(studies)} studies here; this is about study {used.study} alone."
            )
        )
    if others:
        found.append(Caution("several-series", _others(others, used, guessed and not chosen)))
    own = {s.kernel for s in usable if s.parts > 1 and (s.study, s.parts) == (used.study, used.parts)}
    if used.parts > 1 and {"soft", "bone"} <= own:
        sentence = f"One series held soft and sharp (bone) reconstructions; this is about one: {used.words}."
        found.append(Caution("several-kernels", sentence))
    if lost:
        what = "1 file" if len(lost) == 1 else f"{len(lost)} files"
        found.append(Caution("files-left-out", f"{what} with images could not be used: {lost[0].reason}"))
    return tuple(found)


def added(volume: Volume, said: Sequence[Caution]) -> Volume:
    """The volume with these cautions first, and a note of how many files are not in it."""
    count = len(volume.left_out)
    left = (f"{count} file{'s were' if count > 1 else ' was'} left out of the series.",) if count else ()
    notes = (*(c.sentence for c in said if c.code.startswith("several")), *volume.notes, *left)
    return replace(volume, notes=notes, cautions=tuple(dict.fromkeys((*said, *volume.cautions))))


def _others(others: Sequence[SeriesFacts], used: SeriesFacts, unclear: bool) -> str:
    listed = "; ".join(f"series {s.number}: {s.words}" for s in others[:NAMED])
    more = f"; and {len(others) - NAMED} more" if len(others) > NAMED else ""
    first = f"This is about series {used.number} ({used.words})"
    why = ", the best guess among series that are alike" if unclear else ""
    return f"{first}{why}. Not read: {listed}{more}."

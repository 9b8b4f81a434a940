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


def others(series: Sequence[SeriesFacts], used: SeriesFacts, *, is_guess: bool) -> list[Caution]:
    """That there are other studies and other series; `is_guess` where the choice among them is not clear."""
    usable = [s for s in series if s.usable]
    found = []
    studies = {s.study for s in usable if s.study}
    if len(studies) > 1:
        found.append(
            Caution("several-studies", f"There are {len(studies)} studies here; this is about study {used.study} only.")
        )
    if len(usable) > 1:
        rest = [s for s in usable if s.number != used.number]
        found.append(Caution("several-series", _others(rest, used, is_guess)))
    return found


def kernels(series: Sequence[SeriesFacts], used: SeriesFacts) -> list[Caution]:
    """That one series of the scanner held several reconstructions."""
    own = {s.kernel for s in series if s.usable and s.parts > 1 and (s.study, s.parts) == (used.study, used.parts)}
    if used.parts < 2 or not {"soft", "bone"} <= own:
        return []
    sentence = f"One series held soft and sharp (bone) reconstructions; this is about one: {used.words}."
    return [Caution("several-kernels", sentence)]


def lost(files: Sequence[LeftOut]) -> list[Caution]:
    """That files with images could not be used."""
    if not files:
        return []
    what = "1 file" if len(files) == 1 else f"{len(files)} files"
    return [Caution("files-left-out", f"{what} with images could not be used: {files[0].reason}")]


def added(volume: Volume, said: Sequence[Caution]) -> Volume:
    """The volume with these cautions first, and a note of how many files are not in it."""
    count = len(volume.left_out)
    left = (f"{count} file{'s were' if count > 1 else ' was'} left out of the series.",) if count else ()
    notes = (*(c.sentence for c in said if c.code.startswith("several")), *volume.notes, *left)
    return replace(volume, notes=notes, cautions=tuple(dict.fromkeys((*said, *volume.cautions))))


def _others(rest: Sequence[SeriesFacts], used: SeriesFacts, unclear: bool) -> str:
    listed = "; ".join(f"series {s.number}: {s.words}" for s in rest[:NAMED])
    more = f"; and {len(rest) - NAMED} more" if len(rest) > NAMED else ""
    first = f"This is about series {used.number} ({used.words})"
    why = ", the best guess among series that are alike" if unclear else ""
    return f"{first}{why}. Not read: {listed}{more}."

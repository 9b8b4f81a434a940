"""From one input to every series in it, decoded one after the other, with an account of every file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from strokenext.frame.naming import case_label
from strokenext.io.series.survey import SeriesFacts, Survey, survey
from strokenext.io.series.volume import single
from strokenext.types import Progress, Slice, Volume

from .inputs import Failure, Item, collected


@dataclass(frozen=True)
class Unused:
    """A file that is part of no answer, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Reading:
    """One series of an input, decoded. `path` is that of the file where it is one, else of the folder or archive.

    `names` has the file of each slice, `of` the number of series that the input holds.
    """

    path: Path
    name: str
    image: Slice | Volume
    facts: SeriesFacts
    names: tuple[str, ...]
    of: int

    @property
    def label(self) -> str:
        """What the case is called: the file's name and, where they were asked for, its descriptions."""
        series = None if self.of == 1 else self.facts.number
        return case_label(self.image.label, self.path.absolute().name, series)


def readings(
    item: Item, failures: list[Failure], unused: list[Unused], progress: Progress, labels: bool = False
) -> Iterator[Reading]:
    """Every series of the input that can be judged; `labels` keeps what the files call themselves.

    Files that hold an image which cannot be used become failures, all others that are in no series are unused. Raises
    InputError when the input holds nothing to judge.
    """
    found = survey(list(item.files) if item.files else item.path, progress=progress, labels=labels)
    if found.guess is None:
        raise found.without_images()
    failures += [Failure(_place(item, name), error) for name, error in found.errors]
    lost = {name for name, _ in found.errors}
    unused += [Unused(_place(item, left.name), left.reason) for left in found.left_out if left.name not in lost]
    usable = [s for s in found.series if s.usable]
    unused += [Unused(_place(item, n), s.reason) for s in found.series if not s.usable for n in dict.fromkeys(s.files)]
    for facts in usable:
        with collected(Item(_path(item, facts), item.name), failures):
            yield _read(item, found, facts, len(usable), failures, unused, progress)


def _read(
    item: Item,
    found: Survey,
    facts: SeriesFacts,
    of: int,
    failures: list[Failure],
    unused: list[Unused],
    progress: Progress,
) -> Reading:
    read = found.read_whole(facts.number, progress, every=True)
    failures += [Failure(_place(item, name), error) for name, error in read.failed]
    unused += [Unused(_place(item, left.name), left.reason) for left in read.left_out]
    image = single(read.volume) if len(read.volume) == 1 else read.volume
    return Reading(_path(item, facts), _name(item, facts, of), image, facts, read.names, of)


def _place(item: Item, name: str) -> str:
    """The path of a file of the input; of a frame that of its file."""
    return str(item.path / name) if item.files or name != item.path.name else str(item.path)


def _path(item: Item, facts: SeriesFacts) -> Path:
    alone = item.files and len(set(facts.files)) == 1
    return item.path / facts.files[0] if alone else item.path


def _name(item: Item, facts: SeriesFacts, of: int) -> str:
    """The name of what is written about the series: that of its file where it is one, else of the input."""
    if item.files and len(set(facts.files)) == 1:
        return f"{item.below}/{facts.files[0]}" if item.below else facts.files[0]
    return item.name if of == 1 else f"{item.name}/series-{facts.number}"

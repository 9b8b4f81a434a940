"""What an upload holds, for a page: the series to judge, decoded, and the others that could be judged instead."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import strokenext
from strokenext import LeftOut, SeriesFacts, Slice, Volume, errors


@dataclass(frozen=True, eq=False)
class Offer:
    """All series of an upload, the files that are in none, and the decoded series, which is a slice or a volume.

    Nothing is decoded where `chosen` is None: a person has to say which series is meant. An upload that can only be one
    series lists none.
    """

    series: tuple[SeriesFacts, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    chosen: int | None = None
    slice: Slice | None = None
    volume: Volume | None = None

    @property
    def image(self) -> Slice | Volume | None:
        """What was decoded."""
        return self.volume if self.slice is None else self.slice

    @property
    def several(self) -> bool:
        """Whether there is a choice: more than one series that can be judged."""
        return sum(one.usable for one in self.series) > 1


def placed(parts: list[bytes], places: list[str]) -> list[BinaryIO]:
    """Files in memory as streams that carry their folder and name, where these are known."""
    streams: list[BinaryIO] = []
    for part, place in zip_longest(parts, places[: len(parts)]):
        stream = io.BytesIO(part)
        if place:
            stream.name = place
        streams.append(stream)
    return streams


def offer(
    source: list[BinaryIO] | Path,
    number: int | None,
    alone: Callable[[], Slice | Volume],
    options: Mapping[str, Any],
) -> Offer:
    """The series `number` of an upload or, without a number, the one that is clearly meant.

    `alone` reads a single file. Raises OptionError for a number that is not there, InputError for a series that is no
    head CT, and what surveying and reading raise.
    """
    lone = source if isinstance(source, Path) else source[0] if len(source) == 1 else None
    if not source or (lone is not None and not zipfile.is_zipfile(lone)):
        image = alone()
        if not (isinstance(image, Volume) and image.others):  # a file of many images may hold several series
            return _of(Offer(), image)
    if isinstance(lone, io.BytesIO):
        lone.seek(0)
    found = strokenext.survey(lone or source, labels=options.get("labels", False))
    if found.guess is None:
        raise found.without_images()
    meant = number or found.chosen
    listed = Offer(found.series, found.left_out, meant)
    if meant is None:
        return listed
    unusable = next((one.reason for one in found.series if one.number == meant and not one.usable), "")
    if unusable:
        raise errors.InputError(unusable)
    whole = replace(found, chosen=meant).read_whole(meant)
    lost = (*whole.left_out, *(LeftOut(name, str(error)) for name, error in whole.failed))
    single = len(whole.volume) == 1 and not whole.volume.left_out  # what is said of the rest stays with the volume
    return _of(replace(listed, left_out=listed.left_out + lost), whole.volume[0] if single else whole.volume)


def _of(listed: Offer, image: Slice | Volume) -> Offer:
    return replace(listed, slice=image) if isinstance(image, Slice) else replace(listed, volume=image)

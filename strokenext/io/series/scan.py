"""The members of a source, what each was found to be, and what was left out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from strokenext.errors import DamagedFileError, InputError, NotFoundError, TooLargeError, UnsupportedFormatError
from strokenext.io import archive, limits, sniff
from strokenext.io.members import Member

if TYPE_CHECKING:
    from strokenext.io.dicom.header import Frame
    from strokenext.io.dicom.traits import Traits


@dataclass(frozen=True)
class Candidate:
    """One frame of one file; `member` is the file's index, `name` its base name, `along` mm along the normal."""

    member: int
    name: str
    frame: Frame
    traits: Traits
    along: float | None


@dataclass(frozen=True)
class Failed:
    """A member that cannot be used: its index, the error, and whether an image is lost with it (a text is none)."""

    member: int
    error: InputError
    image: bool = True


@dataclass
class Scan:
    """The members and what the first pass found each to be (by index).

    The member read last is kept, so that a lone file is read once.
    """

    members: tuple[Member, ...]
    dicom: list[Candidate] = field(default_factory=list)
    nifti: list[int] = field(default_factory=list)
    pictures: list[tuple[int, str]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    last: tuple[int, str, bytes] | None = field(default=None, repr=False)

    def load(self, number: int) -> tuple[str, bytes]:
        """(kind, plain bytes) of a member."""
        if self.last is None or self.last[0] != number:
            self.last = (number, *unpacked(self.members[number].load()))
        return self.last[1], self.last[2]

    def forget(self) -> None:
        """Let the bytes of the member read last go."""
        self.last = None


def scan(members: tuple[Member, ...], looked: Callable[[int], None]) -> Scan:
    """Look at every member; `looked` is told how many are done."""
    found = Scan(members)
    for number in range(len(members)):
        try:
            _look(found, number)
        except InputError as error:
            found.failed.append(Failed(number, error, _is_image(found, number, error)))
        limits.check_images(len(found.dicom) + len(found.pictures))
        looked(number + 1)
    return found


def _is_image(found: Scan, number: int, error: InputError) -> bool:
    """Whether a file that cannot be used holds an image: no DICOMDIR or report, no text, no archive."""
    if isinstance(error, NotFoundError | DamagedFileError | TooLargeError):
        return True
    kind = found.last[1] if found.last is not None and found.last[0] == number else ""
    return isinstance(error, UnsupportedFormatError) and kind not in ("", "zip")


def unpacked(data: bytes) -> tuple[str, bytes]:
    """(kind by `sniff`, bytes), one gzip layer removed. Raises TooLargeError, DamagedFileError."""
    kind = sniff.sniff(data[: sniff.HEAD])
    if kind != "gzip":
        return kind, data
    plain = archive.gunzip(data)
    kind = sniff.sniff(plain[: sniff.HEAD])
    return ("", plain) if kind in ("gzip", "zip") else (kind, plain)


def _look(found: Scan, number: int) -> None:
    """What a member is. Raises InputError for what holds no image."""
    kind, data = found.load(number)
    if kind == "dicom":
        found.dicom += _frames(data, number, found.members[number].name)
    elif kind == "nifti":
        found.nifti.append(number)
    elif kind in sniff.IMAGE_KINDS:
        found.pictures.append((number, kind))
    elif kind == "zip":
        raise InputError("An archive inside a folder or archive is not opened. Give it on its own.")
    else:
        raise sniff.foreign(data)


def _frames(data: bytes, number: int, name: str) -> list[Candidate]:
    """Every frame of a DICOM file.

    One position for all frames of a file (a classic multi-frame image) says nothing about any of them.
    """
    from strokenext.io.dicom import decode as dicom

    ds = dicom.parse(data, with_pixels=False)
    frames, known = dicom.facts(ds), dicom.traits_of(ds)
    if len(frames) > 1 and len({f.position for f in frames}) == 1:
        frames = tuple(replace(f, position=None, location=None) for f in frames)
    names = [f"{name} frame {f.index}" if len(frames) > 1 else name for f in frames]
    return [Candidate(number, n, f, t, f.along) for n, f, t in zip(names, frames, known, strict=True)]

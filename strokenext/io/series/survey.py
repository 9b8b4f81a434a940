"""Everything that a source holds: each series of each study with what it is, which one is judged, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from strokenext.errors import InputError, OptionError
from strokenext.io.dicom.kernel import KernelKind
from strokenext.io.source import Bundle, SeriesSource, members
from strokenext.types import LeftOut, OtherSeries, Progress, Slice, Volume

from . import cautions, choose, entries, volume
from .entries import Entry
from .scan import Failed, Scan, scan


@dataclass(frozen=True)
class SeriesFacts:
    """What one series is, without anything that names the patient; plain values only.

    `number` counts the series from 1, `study` the studies from 1 (0 where the files state none: pictures, NIfTI).
    `part` of `parts` is set apart where one series of the scanner held several: kernels, phases, tilts. `positions` and
    `thickness` are in mm. `files` names the file of each image, in order. A series that is not `usable` (a scout, MR)
    says why in `reason`. `why` is what speaks for or against judging it, among the others. `description` is the
    operator's text, only where labels were asked for.
    """

    number: int
    study: int
    kind: str  # "dicom", "nifti" or "picture"
    images: int
    files: tuple[str, ...]
    modality: str | None = None
    kernel: KernelKind = "unknown"
    contrast: bool | None = None
    thickness: float | None = None
    extent: float | None = None  # mm from the first slice to the last
    capture: bool = False  # a picture of a CT image, stored as DICOM
    part: int = 1
    parts: int = 1
    usable: bool = True
    reason: str = ""
    why: str = ""
    description: str = ""

    @property
    def words(self) -> str:
        """What the series is, for a list to choose from: "soft-tissue kernel, 5 mm, 28 images"."""
        said = [
            {"nifti": "NIfTI file", "picture": "pictures" if self.images > 1 else "picture"}.get(self.kind, ""),
            "secondary capture" if self.capture else "",
            {"soft": "soft-tissue kernel", "bone": "sharp (bone) kernel"}.get(self.kernel, ""),
            "" if self.contrast is None else "with contrast medium" if self.contrast else "without contrast medium",
            f"{self.thickness:g} mm" if self.thickness else "",
            "" if self.kind == "nifti" else "1 image" if self.images == 1 else f"{self.images} images",
            f"part {self.part} of {self.parts}" if self.parts > 1 else "",
        ]
        return ", ".join(s for s in said if s)


@dataclass(frozen=True)
class Whole:
    """A decoded series, the name of each slice's file, and what of the series' own files is not in it."""

    volume: Volume
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    failed: tuple[tuple[str, InputError], ...]


@dataclass(frozen=True)
class Survey:
    """All series of a source. `chosen` is the number of the one to judge, None where a person has to choose.

    `guess` is what is judged when nobody can be asked, None only when nothing is usable. `left_out` are the files that
    are part of no series, each with its reason; those of other series stand in the other series.
    """

    series: tuple[SeriesFacts, ...]
    chosen: int | None
    guess: int | None
    left_out: tuple[LeftOut, ...]
    failures: tuple[LeftOut, ...] = ()  # the part of `left_out` that holds an image which cannot be used
    _found: Scan = field(default_factory=lambda: Scan(()), repr=False)
    _entries: tuple[Entry, ...] = field(default=(), repr=False)
    _labels: bool = field(default=False, repr=False)

    def read(self, number: int, progress: Progress | None = None) -> Slice | Volume:
        """The series of that number, decoded: a Volume from the feet to the head, a Slice when it is one image.

        Of a volume, `left_out` are the files of this source that are not in it. Raises OptionError for a number that is
        not there, InputError (or the files' own error class) when nothing of the series can be decoded.
        """
        whole = self.read_whole(number, progress).volume
        return volume.single(whole) if len(whole) == 1 else whole

    def read_whole(self, number: int, progress: Progress | None = None, *, every: bool = False) -> Whole:
        """As `read`, always as a Volume, with an account of the files of the series.

        `every` says that all series are read, so that the others are not left out and nothing is said of a choice.
        """
        if not 1 <= number <= len(self.series):
            raise OptionError(f"There is no series {number} here. Choose one of 1 to {len(self.series)}.")
        result = entries.decode(self._found, self._entries[number - 1], progress or _nobody, self._labels)
        self._found.forget()
        if result.volume is None:
            raise _undecodable(result.failed)
        broken = [LeftOut(self._found.members[f.member].name, str(f.error)) for f in result.failed]
        mine = set(self._entries[number - 1].members)
        others = [
            LeftOut(self._found.members[member].name, choose.other_reason(facts, self.series[number - 1]))
            for facts, entry in zip(self.series, self._entries, strict=True)
            if not every
            for member in dict.fromkeys(entry.members)
            if member not in mine
        ]
        left_out = (*others, *self.left_out, *result.left_out, *broken)
        lost = (*self.failures, *result.left_out, *broken)
        used, listed = self.series[number - 1], self.series
        said = [*cautions.lost(lost), *cautions.kernels(listed, used)]
        if not every:
            said = [*cautions.others(listed, used, is_guess=self.chosen is None and self.guess == number), *said]
        rest = [s for s in listed if s.usable and s is not used and not every]
        apart = tuple(OtherSeries(s.study, s.number, s.words, s.images) for s in rest)
        whole = cautions.added(replace(result.volume, left_out=left_out, others=apart), said)
        failed = tuple((self._found.members[f.member].name, f.error) for f in result.failed)
        return Whole(whole, result.names, tuple(result.left_out), failed)

    @property
    def errors(self) -> tuple[tuple[str, InputError], ...]:
        """(name, error) of each file that holds an image which cannot be used."""
        return tuple((self._found.members[f.member].name, f.error) for f in self._found.failed if f.image)

    def without_images(self) -> InputError:
        """Why nothing of this source can be used: the error itself for one file, else the commonest reason."""
        return _nothing(self)


def survey(source: SeriesSource, *, progress: Progress | None = None, labels: bool = False) -> Survey:
    """Look at every file of a folder, zip, list or file and tell its series apart; nothing but headers is decoded,
    unless two images claim one place.

    `progress` is called with the files done and in all. Raises NotFoundError, TooLargeError, InputError for an empty
    source; files that cannot be used are in `left_out`.
    """
    return of_bundle(members(source), progress, labels)


def of_bundle(bundle: Bundle, progress: Progress | None = None, labels: bool = False) -> Survey:
    """The survey of named members."""
    count = len(bundle.members)
    found = scan(bundle.members, lambda done: progress(done, count) if progress else None)
    listed, repeats = entries.entries(found, strict=bundle.listed, labels=labels)
    chosen, guess = choose.choose(listed)
    facts = _facts(listed, choose.reasons(listed, guess, chosen is not None))
    failed = [(LeftOut(found.members[f.member].name, str(f.error)), f.image) for f in found.failed]
    left_out = [*(item for item, _ in failed), *repeats]
    failures = tuple(item for item, image in failed if image)
    found.forget()
    return Survey(facts, chosen, guess, tuple(left_out), failures, found, tuple(listed), labels)


def _facts(listed: Sequence[Entry], why: Sequence[str]) -> tuple[SeriesFacts, ...]:
    studies: dict[str, int] = {}
    for e in listed:
        if e.kind == "dicom":
            studies.setdefault(e.study, len(studies) + 1)
    return tuple(
        SeriesFacts(
            number=number,
            study=studies.get(e.study, 0) if e.kind == "dicom" else 0,
            kind=e.kind,
            images=len(e.files),
            files=e.files,
            modality=e.modality,
            kernel=e.kernel,
            contrast=e.contrast,
            thickness=e.thickness,
            extent=e.extent,
            capture=e.capture,
            part=e.part,
            parts=e.parts,
            usable=not e.unusable,
            reason=e.unusable,
            why=why[number - 1],
            description=e.description,
        )
        for number, e in enumerate(listed, 1)
    )


def _nobody(done: int, total: int) -> None:
    """Progress that nobody watches."""


def _undecodable(failed: Sequence[Failed]) -> InputError:
    if len(failed) == 1:
        return failed[0].error
    reason = Counter(str(f.error) for f in failed).most_common(1)[0][0]
    kinds = {type(f.error) for f in failed}
    kind = kinds.pop() if len(kinds) == 1 else InputError
    return kind(f"None of the files of this series can be used. Most often: {reason}")


def _nothing(found: Survey) -> InputError:
    errors = [f.error for f in found._found.failed]
    count = len(found._found.members)
    if count == 1 and errors:
        return errors[0]
    reasons = [s.reason for s in found.series for _ in s.files] + [item.reason for item in found.left_out]
    reason = Counter(reasons).most_common(1)[0][0]
    alike = {type(e) for e in errors} if len(errors) == len(reasons) else set()
    kind = alike.pop() if len(alike) == 1 else InputError
    return kind(f"None of these {count} files can be used as a slice of a head CT series. Most often: {reason}")

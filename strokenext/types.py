"""Frozen values that travel between the stages of the library.

Pixels never travel as bare arrays: a `Slice` or `Volume` says whether its numbers are Hounsfield units
(``unit == "HU"``) or grey levels 0..255 that somebody windowed before us (``unit == "grey"``).
No value here has room for a patient's name, number or place; a `Label`, which may hold a date and free text,
exists only where the caller asked for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
ByteArray = NDArray[np.uint8]

Unit = Literal["HU", "grey"]
#: Called with what is done and what there is in all: slices, files or bytes.
Progress = Callable[[int, int], None]

#: Class names by task; index 1 is the positive class whose probability the threshold is about.
CLASSES: dict[str, tuple[str, str]] = {
    "presence": ("non-stroke", "stroke"),
    "subtype": ("ischemic", "hemorrhagic"),
}


@dataclass(frozen=True)
class Window:
    """A display window, width and level in HU (DICOM PS3.3 C.11.2.1.2)."""

    width: float
    level: float
    name: str = ""

    @property
    def low(self) -> float:
        """HU shown black."""
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        """HU shown white."""
        return self.level + self.width / 2


class Edges(NamedTuple):
    """Patient direction at each edge of the displayed image: letters of L R A P H F, or empty."""

    left: str
    right: str
    top: str
    bottom: str


#: Modalities that say nothing against CT: "other", secondary capture and document scan.
NEUTRAL_MODALITIES = frozenset({"CT", "OT", "SC", "DOC"})


@dataclass(frozen=True)
class Header:
    """What the file says about the picture, never about the patient."""

    modality: str | None = None  # "CT", "MR", ...; None when the file has no such statement
    image_type: tuple[str, ...] = ()  # DICOM (0008,0008) values, e.g. ("ORIGINAL", "PRIMARY", "AXIAL")
    body_part: str | None = None  # DICOM (0018,0015), upper case
    axial: bool | None = None  # from the orientation cosines; None when not stated
    burned_in_text: bool | None = None  # DICOM (0028,0301)
    slice_thickness: float | None = None  # mm
    transfer_syntax: str | None = None  # its name
    scope_problem: str | None = None  # a sentence when the header alone rules the image out
    colour: float | None = None  # share of pixels clearly coloured, 0..1; None when there is one channel


#: What can be wrong with a picture or series so that the answer about it may change.
CautionCode = Literal[
    "several-studies",  # more than one study was given
    "several-series",  # more than one series of the head was given
    "several-kernels",  # soft and bone reconstructions in one series
    "bone-kernel",  # only a bone (sharp) reconstruction was given
    "contrast",  # contrast medium was given
    "missing-slices",  # gaps between the positions
    "files-left-out",  # some of the files could not be used
    "order-unknown",  # nothing states the order of the slices
    "pictures-joined",  # pictures that look like slices of one scan were read as one
    "pictures-apart",  # pictures that are numbered like slices do not look it, so each stands alone
    "no-hu",  # grey levels, somebody windowed before us
    "hu-inferred",  # nothing or something wrong states the scale of the HU; it was told from the pixels
    "clipped",  # the HU range was cut before us
    "unusual-window",  # windowed unlike the training pictures
    "turned",  # not upright; turned for the model
    "unlike-training",  # unlike the pictures that the figures were measured on
]


@dataclass(frozen=True)
class Caution:
    """Something about the input that may change the answer; `sentence` is for the reader, `code` for programs."""

    code: CautionCode
    sentence: str


@dataclass(frozen=True)
class Label:
    """What the file calls itself, to recognise a case by; read only where the caller asks for it.

    The descriptions are free text of the scanner's operator and may hold anything, a name included. `study` and
    `series` are the descriptions (DICOM (0008,1030) and (0008,103E)), `date` that of the scan as YYYY-MM-DD,
    `thickness` the slice thickness in mm.
    """

    study: str = ""
    series: str = ""
    date: str = ""
    thickness: float | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """One image, (H, W) float32 in HU or in grey levels 0..255, with what its file says about geometry.

    `spacing` is (row, column) in mm; `edges` only where the file states an orientation; `windows` are
    the file's own, in HU; `sha256` is of the bytes the image was read from; `notes` are sentences for
    the reader (padding, missing rescale tags, inverted grey scale, ...), `cautions` those that may change the
    answer; `label` only where the caller asked for one.
    """

    pixels: FloatArray
    unit: Unit
    spacing: tuple[float, float] | None = None
    edges: Edges | None = None
    windows: tuple[Window, ...] = ()
    header: Header = field(default_factory=Header)
    kind: str = "array"  # "dicom", "png", "jpeg", "nifti", "array", ...
    sha256: str = ""
    notes: tuple[str, ...] = ()
    padding: BoolArray | None = None  # True where the file marks the pixel as not tissue
    cautions: tuple[Caution, ...] = ()
    label: Label | None = None

    def __post_init__(self) -> None:
        pixels = np.ascontiguousarray(self.pixels, dtype=np.float32)
        if pixels.ndim != 2 or 0 in pixels.shape:
            raise ValueError(f"a slice has two dimensions, not shape {pixels.shape}")
        if pixels is self.pixels and pixels.flags.writeable:
            pixels = pixels.copy()  # never freeze the caller's own array
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])


@dataclass(frozen=True)
class LeftOut:
    """A file of a series that was not used, and why, in a sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class OtherSeries:
    """A series that was given as well and is not the one that was read: its numbers, what it is in words, its size."""

    study: int  # 0 where the files state none
    series: int
    description: str
    images: int


@dataclass(frozen=True, eq=False)
class Volume:
    """A stack of axial slices ordered from the feet to the head, all of one shape and unit.

    `positions` are mm along the slice normal, ascending, or None where the file has no geometry;
    `spacing` is that of a pixel within the slice, (row, column) in mm. `others` are series that could be judged
    instead, whose files are in `left_out` with everything else that is not in the slices. `cautions` are about the
    whole series and include those of its slices, once each.
    """

    slices: tuple[Slice, ...]
    positions: tuple[float, ...] | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    sha256: str = ""
    cautions: tuple[Caution, ...] = ()
    label: Label | None = None
    others: tuple[OtherSeries, ...] = ()

    def __post_init__(self) -> None:
        if not self.slices:
            raise ValueError("a volume has at least one slice")
        if len({(s.shape, s.unit) for s in self.slices}) != 1:
            raise ValueError("the slices of a volume share one shape and one unit")
        if self.positions is not None and len(self.positions) != len(self.slices):
            raise ValueError("one position per slice")

    def __len__(self) -> int:
        return len(self.slices)

    def __iter__(self) -> Iterator[Slice]:
        return iter(self.slices)

    def __getitem__(self, index: int) -> Slice:
        return self.slices[index]

    @property
    def unit(self) -> Unit:
        """ "HU" or "grey", the same for every slice."""
        return self.slices[0].unit

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(row, column) in mm."""
        return self.slices[0].spacing

    def array(self) -> FloatArray:
        """(D, H, W) float32, a copy, in the volume's unit."""
        return np.stack([s.pixels for s in self.slices])


@dataclass(frozen=True)
class Gate:
    """Whether the image is in the models' scope; `reason` is a sentence when it is not."""

    accepted: bool
    reason: str = ""
    code: str = "ok"  # short machine name of the reason: "modality", "blank", "no-skull", ...


@dataclass(frozen=True, eq=False)
class Heat:
    """Grad-CAM evidence in absolute logit units, on the model's true grid.

    `maps` is (E, h, w) float32, non-negative, one map per encoder, before any scaling: the part of the
    class logit that each cell contributes. `affine` is the (2, 3) matrix that takes a pixel (x, y) of
    the original image to the model's input; `input_size` is the side of that input in pixels.
    `full_scale` is the value drawn at the top of the colour bar, fixed per model. `absolute` is False for
    methods whose numbers are no logits; their full scale is this image's own peak and says nothing about
    another image.
    """

    maps: FloatArray
    encoders: tuple[str, ...]
    class_name: str
    method: str
    affine: NDArray[np.float64]
    input_size: int
    full_scale: float
    absolute: bool = True

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the true map."""
        return int(self.maps.shape[1]), int(self.maps.shape[2])

    @property
    def total(self) -> FloatArray:
        """(h, w): the sum over encoders."""
        return np.asarray(self.maps.sum(axis=0), dtype=np.float32)

    @property
    def peak(self) -> float:
        """Largest value of the summed map, in logit units."""
        return float(self.total.max())

    @property
    def share(self) -> dict[str, float]:
        """Each encoder's part of the summed heat; all zero when there is no heat."""
        sums = self.maps.reshape(len(self.maps), -1).sum(axis=1)
        whole = float(sums.sum())
        return {e: (float(s) / whole if whole > 0 else 0.0) for e, s in zip(self.encoders, sums, strict=True)}

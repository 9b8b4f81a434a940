"""A synthetic head CT in Hounsfield units: the project's own example pictures and test images.

Nothing here comes from a patient: `anatomy` draws the head, this file scans it (slice thickness,
blur, noise, head holder) and hands out slices and series.

`python -m training examples assets/examples` rebuilds the committed examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.ndimage import gaussian_filter

from strokenext.types import BoolArray, Edges, FloatArray, Header, Slice
from strokenext.windows import BRAIN, preset

from . import anatomy
from .anatomy import DEEP_GREY, GREY, WHITE, Array, Person
from .lesions import LESIONS, Lesion

Kind = Literal["normal", "hemorrhage", "infarct", "subdural", "subarachnoid"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FIELD_OF_VIEW = 220.0  # mm, the usual display field of a head scan
LOWEST, HIGHEST = -4.0, 76.0  # mm: level 0 cuts the third ventricle, level 1 grazes the vertex
THICKNESS = 5.0  # mm, averaged over three planes: partial volume is what makes CT look soft
BLUR = 0.45  # mm, standard deviation of the in-plane point spread
NOISE = 3.2  # HU, standard deviation in the finished slice
STROKE = preset("stroke")


@dataclass(frozen=True, eq=False)
class Phantom:
    """One slice: `hu` (S, S) float32 in HU, `lesion` (S, S) bool, `spacing` (row, column) and height `z` in mm."""

    hu: FloatArray
    lesion: BoolArray
    brain: BoolArray
    spacing: tuple[float, float]
    z: float
    kind: Kind

    def as_slice(self) -> Slice:
        """The phantom as the library's own value, as if it had come from a CT file."""
        header = Header(modality="CT", image_type=("DERIVED", "PRIMARY", "AXIAL"), body_part="HEAD", axial=True)
        return Slice(self.hu, "HU", self.spacing, Edges("R", "L", "A", "P"), (BRAIN, STROKE), header, "phantom")


def head_phantom(
    kind: Kind = "normal", size: int = 512, seed: int = 0, level: float = 0.2, noise: bool = True
) -> Phantom:
    """One axial slice of a synthetic head, `size` x `size` in HU.

    `level` is the height within the brain, 0 (third ventricle) to 1 (vertex); the lesions of the kinds
    other than "normal" are widest at 0.1 to 0.4. Equal arguments give equal pixels. Raises ValueError for an
    unknown kind or a level outside 0..1.
    """
    if kind not in KINDS or not 0.0 <= level <= 1.0:
        raise ValueError(f"kind is one of {', '.join(KINDS)} and level lies in 0..1, not {kind!r}, {level!r}")
    person, z = Person.draw(seed), LOWEST + level * (HIGHEST - LOWEST)
    step = FIELD_OF_VIEW / size
    axis = (np.arange(size) - (size - 1) / 2) * step
    x, y = np.meshgrid(axis - person.centre[0], axis - person.centre[1])
    c, s = np.cos(person.turn), np.sin(person.turn)
    planes = [_plane(person, kind, c * x + s * y, c * y - s * x, z + dz) for dz in (-THICKNESS / 3, 0, THICKNESS / 3)]
    hu, lesion, brain = np.mean(planes, axis=0)
    hu = gaussian_filter(hu + _headrest(x, y), BLUR / step)
    if noise:
        hu = hu + _scanner_noise(np.random.default_rng((seed, round(level * 1e6))), size, step, hu)
    inside = brain > 0.5
    return Phantom(np.maximum(hu, -1024).astype(np.float32), (lesion > 0.5) & inside, inside, (step, step), z, kind)


def phantom_series(kind: Kind = "normal", slices: int = 24, size: int = 256, seed: int = 0) -> tuple[Phantom, ...]:
    """A head from the basal ganglia to the vertex, ordered from the feet to the head."""
    return tuple(head_phantom(kind, size, seed, float(level)) for level in np.linspace(0.0, 1.0, slices))


def _plane(person: Person, kind: str, x: Array, y: Array, z: float) -> tuple[Array, Array, Array]:
    """HU, lesion and brain of one infinitely thin plane at height z; x, y in mm."""
    depth = anatomy.inward(person, x, y, z)
    lesion = LESIONS[kind](person, x, y, z, depth)
    gx, gy = lesion.pushed(x, y)
    cavity = depth > 0
    tissue = _brain(person, gx, gy, z, depth, lesion)
    hu = np.where(cavity, lesion.paint(tissue), anatomy.skull_and_scalp(person, x, y, z, depth))
    return hu, lesion.mask.astype(float), cavity.astype(float)


def _brain(person: Person, x: Array, y: Array, z: float, depth: Array, lesion: Lesion) -> Array:
    """Grey and white matter, CSF and falx at every pixel of the cavity."""
    ax = np.abs(x)
    opening = person.sulci * (1 - 0.9 * lesion.swelling) * anatomy.sulcal_opening(depth)
    sulcus = anatomy.sulci(person, x, y, z, depth) - opening
    wave = 2.2 * person.warp[1](1.6 * x, 1.6 * y, z)
    sylvian = anatomy.sylvian(ax + wave, y + wave, z) - 1.1 * (1 - 0.8 * lesion.swelling)
    fissure = np.minimum(sylvian, anatomy.interhemispheric(ax, y, z))
    ventricle, outside = anatomy.ventricles(person, ax, y, z), depth - 0.9
    to_csf = np.minimum(np.minimum(sulcus, fissure), outside)
    nuclei = anatomy.nuclei(ax, y, z)
    ribbon = np.clip((anatomy.CORTEX + 0.5 * person.blob(x, y, z) - to_csf) / 1.2 + 0.5, 0, 1)
    grey = np.maximum(ribbon, np.clip(0.5 - nuclei / 1.5, 0, 1))
    tissue = WHITE + (GREY - WHITE) * ribbon + (DEEP_GREY - WHITE) * (grey - ribbon)
    tissue = tissue + 0.9 * person.slow(x, y, z) + 4.0 * np.exp(-np.maximum(depth, 0) / 7.0) - 1.0
    tissue = lesion.tissue(tissue, grey)
    fluid = np.maximum(np.clip(0.5 - to_csf / 0.8, 0, 1), np.clip(0.5 - ventricle / 1.0, 0, 1))
    hu = tissue * (1 - fluid) + (anatomy.CSF + lesion.bleed_in_sulci * (to_csf < ventricle)) * fluid
    falx_reach = (np.abs(y) > 46) | (z > 30 + 0.006 * y**2) if z > -2 else np.abs(y) > 50
    sinus = np.clip(1.0 - (person.length - 2.5 - y) / 7.0, 0, 1) * 4.2  # superior sagittal sinus behind
    falx = np.clip(1.1 + sinus - ax, 0, 1) * falx_reach * (depth > 0.2)
    hu = hu * (1 - 0.75 * falx) + anatomy.FALX * 0.75 * falx
    return anatomy.calcifications(person, ax, y, z, hu)


def _headrest(x: Array, y: Array) -> Array:
    """The thin shell of the head holder behind the head, added to air."""
    arc = np.abs(np.hypot(x, y + 4) - 104.0)
    return np.asarray(1010.0 * np.clip(1.4 - arc, 0, 1) * (y > 62))


def _scanner_noise(rng: np.random.Generator, size: int, step: float, hu: Array) -> Array:
    """Noise with the spectrum of filtered back-projection, f * exp(-(f/f0)^2), weaker in air than in the head."""
    white = rng.standard_normal((size, size))
    f = np.hypot(np.fft.fftfreq(size, step)[:, None], np.fft.rfftfreq(size, step)[None, :])
    noise = np.fft.irfft2(np.fft.rfft2(white) * f * np.exp(-((f / 0.28) ** 2)), s=(size, size))
    inside = gaussian_filter((hu > -500).astype(float), 4.0 / step)
    return np.asarray(noise / noise.std() * NOISE * (0.4 + 0.6 * inside))

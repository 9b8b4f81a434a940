"""Anatomy of the synthetic head, drawn by formula in patient millimetres.

x runs to the patient's left, y to the back, z to the top; z = 0 is the plane of the basal ganglia. Every
function takes one infinitely thin plane, x and y (S, S) in mm and z in mm, so neighbouring slices agree.
Attenuations follow the textbook: CSF 5 to 12 HU, white matter 30, grey matter 38, fresh blood 55 to 75,
oedema about 20, a subacute infarct 6 to 12 HU below its tissue.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Array = NDArray[np.float64]
Points = tuple[Array, Array, float]

AIR, CSF, WHITE, GREY, DEEP_GREY, FALX = -1000.0, 8.0, 29.0, 38.5, 38.0, 52.0  # HU
SKIN, FAT, MUSCLE, TABLE, DIPLOE = 45.0, -95.0, 55.0, 1450.0, 650.0  # HU
CORTEX = 3.4  # mm


class Noise:
    """Smooth periodic random field of unit variance with features of about `wavelength` mm."""

    def __init__(self, rng: np.random.Generator, wavelength: float, band: bool = False) -> None:
        self.step = wavelength / 6.0
        raw = rng.standard_normal((56, 56, 56))
        grid = gaussian_filter(raw, 1.2, mode="wrap")
        if band:  # a narrow band keeps gyri at an even width
            grid = grid - gaussian_filter(raw, 2.4, mode="wrap")
        self.grid = (grid - grid.mean()) / grid.std()

    def __call__(self, x: Array, y: Array, z: Array | float) -> Array:
        points = np.stack(np.broadcast_arrays(x, y, z)) / self.step
        return np.asarray(map_coordinates(self.grid, points, order=1, mode="grid-wrap"))


@dataclass(frozen=True, eq=False)
class Person:
    """Everything random about one synthetic head, drawn once per seed."""

    width: float  # mm, half width of the skull cavity
    length: float
    height: float
    turn: float  # radians, head rotation in the holder
    centre: tuple[float, float]
    side: float  # +1 puts the lesion on the patient's left
    ventricles: float  # scale of the ventricles' calibre
    sulci: float  # mm, half width of a sulcus
    gyri: Noise
    warp: tuple[Noise, Noise]
    blob: Noise
    slow: Noise

    @classmethod
    @lru_cache(maxsize=4)  # the noise fields cost more than a slice; a series shares one person
    def draw(cls, seed: int) -> Person:
        rng = np.random.default_rng(seed)
        u = rng.uniform
        width, length, height = u(63, 67), u(79, 84), u(72, 76)
        turn, centre = np.deg2rad(u(-4, 4)), (u(-3, 3), u(-4, 2))
        side, calibre, opening = float(rng.choice((-1.0, 1.0))), u(0.85, 1.15), u(0.7, 1.1)
        gyri, warp = Noise(rng, 26.0, band=True), (Noise(rng, 34.0), Noise(rng, 34.0))
        return cls(
            width, length, height, turn, centre, side, calibre, opening, gyri, warp, Noise(rng, 20.0), Noise(rng, 45.0)
        )


def inward(person: Person, x: Array, y: Array, z: float) -> Array:
    """Distance in mm inward from the inner table, negative outside."""
    egg = person.width * (1 + 0.10 * np.clip(y / person.length, -1.2, 1.2))  # wider behind than in front
    wobble = 1 + 0.012 * person.slow(1.4 * x / (1e-6 + np.hypot(x, y)) * 30, y / (1e-6 + np.hypot(x, y)) * 30, z * 0.3)
    vertical = z / person.height if z > 0 else z / 150.0

    def rho(xx: Array, yy: Array, v: float) -> Array:
        plane = (np.abs(xx / egg) ** 2.25 + np.abs(yy / person.length) ** 2.25) ** (2.3 / 2.25)
        return np.asarray((plane + abs(v) ** 2.3) ** (1 / 2.3) / wobble)

    r, e = rho(x, y, vertical), 0.5
    slope_xy = np.hypot((rho(x + e, y, vertical) - r) / e, (rho(x, y + e, vertical) - r) / e)
    slope_z = (rho(x, y, vertical + e / person.height) - r) / e if z > 0 else 0.0
    return np.asarray((1 - r) / np.maximum(np.hypot(slope_xy, slope_z), 1e-4))


def skull_and_scalp(person: Person, x: Array, y: Array, z: float, depth: Array) -> Array:
    """Skull with two tables and diploe, temporal muscle, fat, skin, air; `depth` <= 0 here."""
    out = -depth
    midline = np.exp(-((x / 22) ** 2))
    bone = 5.2 + 1.8 * (np.abs(y) / person.length) ** 2 + 1.6 * midline * (y > 0) + 0.5 * person.slow(x, y, z)
    lateral = np.exp(-((((np.abs(x) / person.width) - 1.05) / 0.25) ** 2)) * np.exp(-(((y + 18) / 26) ** 2))
    bone = bone - 1.6 * lateral
    muscle = 7.0 * lateral * np.clip((38 - z) / 30, 0, 1)
    scalp = 4.6 + 0.8 * person.slow(y, x, z)
    share = out / bone
    marrow = np.clip(1 - np.abs(share - 0.5) / 0.26, 0, 1) * np.clip((bone - 3.5) / 2, 0, 1)
    skull = TABLE - (TABLE - DIPLOE) * np.minimum(1, 1.8 * marrow) + 120 * person.blob(3 * x, 3 * y, z) * marrow
    beyond = out - bone
    layers = [beyond < muscle, beyond < muscle + scalp - 1.7, beyond < muscle + scalp]
    soft = np.select(layers, [MUSCLE - 4.0, FAT + 14 * person.blob(2 * y, 2 * x, z), SKIN], AIR)
    return np.where(out < bone, skull, soft)


def sulci(person: Person, x: Array, y: Array, z: float, depth: Array) -> Array:
    """Distance in mm to the nearest sulcus centre line: zero lines of a band-passed field on the brain's surface."""
    norm = np.sqrt((x / 66) ** 2 + (y / 82) ** 2 + (z / 74) ** 2) + 1e-6
    bend = 2.5 + 0.20 * np.clip(depth, 0, 30)
    wx, wy = (w(x, y, z) * bend for w in person.warp)
    pull = np.clip(depth / 90, 0, 0.2)  # mostly radial: a sulcus dives towards the centre
    u, v, w = ((p / norm) * (1 - pull) + p * pull for p in (x, y, np.full_like(x, z)))
    field = person.gyri(u + wx, v + wy, w)
    step = abs(float(x[0, 1] - x[0, 0])) + abs(float(y[0, 1] - y[0, 0])) + 1e-9
    slope = np.hypot(*np.gradient(field, step))
    reach = np.maximum(12.0 + 5.0 * person.slow(v, u, w), 5.0)  # mm a sulcus dives
    shallow = np.clip((depth - reach) / 3.0, 0, None)
    return np.asarray(np.abs(field) / np.maximum(slope, 0.08) + shallow)


def sulcal_opening(depth: Array) -> Array:
    """Sulci are widest where they open and close with depth."""
    return np.asarray(0.55 + 1.1 * np.exp(-np.maximum(depth, 0) / 5.0))


def _capsule(points: Points, a: tuple[float, ...], b: tuple[float, ...]) -> Array:
    """Signed distance in mm to a rounded cone between a and b, each (x, y, z, radius)."""
    p0, p1 = np.array(a[:3]), np.array(b[:3])
    line = p1 - p0
    t = sum((points[i] - p0[i]) * line[i] for i in range(3)) / float(line @ line)
    t = np.clip(t, 0, 1)
    gap = np.sqrt(sum((points[i] - p0[i] - t * line[i]) ** 2 for i in range(3)))
    return np.asarray(gap - (a[3] + (b[3] - a[3]) * t))


def ellipsoid(points: Points, centre: tuple[float, ...], axes: tuple[float, ...], turn: float = 0) -> Array:
    """Signed distance in mm (first order) to an ellipsoid whose plane axes are turned by `turn` degrees."""
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    dx, dy, dz = points[0] - centre[0], points[1] - centre[1], points[2] - centre[2]
    k = np.sqrt(((c * dx + s * dy) / axes[0]) ** 2 + ((c * dy - s * dx) / axes[1]) ** 2 + (dz / axes[2]) ** 2)
    return np.asarray((k - 1) * min(axes[0], axes[1]))


#: Centre line and calibre of the left lateral ventricle: frontal horn, body, atrium, occipital horn (mm).
_LATERAL = (
    (14.0, -36, 3, 3.2),
    (10.0, -26, 10, 6.0),
    (7.5, -12, 17, 5.4),
    (9.5, 3, 21, 5.4),
    (14.5, 19, 20, 6.2),
    (24.0, 31, 7, 6.6),
    (22.5, 43, 2, 3.8),
    (21, 54, 1, 1.6),
)


def ventricles(person: Person, ax: Array, y: Array, z: float) -> Array:
    points, grow = (ax, y, z), person.ventricles
    lateral = np.full_like(ax, 1e3)
    for a, b in itertools.pairwise(_LATERAL):
        lateral = np.minimum(lateral, _capsule(points, (*a[:3], a[3] * grow), (*b[:3], b[3] * grow)))
    lateral = np.maximum(lateral, -ellipsoid(points, (16.5, -22, 7), (6.0, 11, 12), 12))  # caudate head indents it
    lateral = np.maximum(lateral, 0.7 - ax)  # septum pellucidum
    third = np.maximum(_capsule(points, (0, -10, 1, 1.6 * grow), (0, 12, 1, 2.0 * grow)), abs(z - 1) - 9)
    third = np.maximum(np.maximum(ax - 1.7 * grow, np.abs(y - 1) - 12), abs(z + 1) - 8) if abs(z) < 9 else third
    cistern = ellipsoid(points, (0, 29, -5), (11, 4.0, 7))
    return np.minimum(np.minimum(lateral, third), cistern)


def nuclei(ax: Array, y: Array, z: float) -> Array:
    points = (ax, y, z)
    caudate = ellipsoid(points, (15.5, -22, 7), (5.0, 9.5, 11), 12)
    tail = _capsule(points, (17, -12, 16, 3.2), (19, 12, 24, 2.4))
    lentiform = np.maximum(
        ellipsoid(points, (25.5, -6, 3), (7.0, 16, 11), 14), -ellipsoid(points, (13, -6, 3), (6, 15, 12), 14)
    )
    claustrum = np.maximum(np.abs(ellipsoid(points, (24.5, -6, 3), (11.2, 20, 13), 12)) - 0.5, 30 - ax)
    thalamus = ellipsoid(points, (10.5, 9, 7), (8.0, 13.0, 9.5), -18)
    return np.minimum.reduce([caudate, tail, lentiform, thalamus, claustrum])


def sylvian(ax: Array, y: Array, z: float) -> Array:
    """Distance to the Sylvian fissure: over the insula, then out to the convexity."""
    points = (ax, y, z)
    rise = 0.5 * z
    insula = _capsule(points, (34, -24 + 0.2 * z, z, 0), (39, -6, z, 0))
    insula = np.minimum(insula, _capsule(points, (39, -6, z, 0), (36.5, 14, z, 0)))
    stem = _capsule(points, (38, -20 + rise, z, 0), (64, -26 + rise, z, 0))
    back = _capsule(points, (37, 14, z, 0), (50, 17 + rise, z, 0))
    return np.minimum(np.minimum(insula, stem), back) + max(0.0, z - 17) * 0.7


def interhemispheric(ax: Array, y: Array, z: float) -> Array:
    callosum = np.maximum(np.abs(y - 2) - (44 - 0.004 * max(z, 0) ** 2), z - 31 + 0.004 * y**2)
    return np.maximum(ax - 1.0 - 0.6 * (np.abs(y) > 55), -callosum)


def calcifications(person: Person, ax: Array, y: Array, z: float, hu: Array) -> Array:
    points = (ax, y, z)
    for centre, radius, value in (((24.5, 34, 6), 2.2, 95.0), ((0.0, 23.5, 1), 1.8, 110.0)):
        inside = np.clip(
            0.5 - ellipsoid(points, centre, (radius, radius, radius)) - 0.6 * person.blob(ax * 3, y * 3, z), 0, 1
        )
        hu = hu * (1 - inside) + value * inside
    return hu

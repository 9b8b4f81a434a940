"""Lesions of the synthetic head: what each kind does to one plane of `anatomy`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from strokenext.types import BoolArray

from .anatomy import Array, Person, ellipsoid, sulci, sylvian

BLOOD, OEDEMA = 64.0, 18.0  # HU


@dataclass(frozen=True, eq=False)
class Lesion:
    """What a lesion does to a plane; every array is (S, S). The defaults do nothing."""

    mask: BoolArray
    blood: Array  # 0..1, share of each pixel filled with blood
    oedema: Array  # 0..1, water in the tissue
    swelling: Array  # 0..1, sulci closed
    infarct: Array  # 0..1, lost grey-white border and lower HU
    bleed_in_sulci: Array  # HU added to CSF
    push: tuple[float, float, float]  # x, y of the centre and mm of room the lesion takes
    texture: Array

    def pushed(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Where the tissue seen at (x, y) lay before the mass displaced it."""
        cx, cy, room = self.push
        if room == 0:
            return x, y
        r = np.hypot(x - cx, y - cy) + 1e-6
        factor = 1 - room * np.exp(-((r / 42) ** 2)) * np.clip(r / 12, 0, 1) / np.maximum(r, 12)
        return cx + (x - cx) * factor, cy + (y - cy) * factor

    def tissue(self, hu: Array, grey: Array) -> Array:
        """Tissue before CSF is drawn: infarcted tissue is darker, the more so the more grey it held."""
        hu = hu - self.infarct * (6.0 + 7.0 * grey)
        return np.asarray(hu * (1 - self.oedema) + np.minimum(hu, OEDEMA + 2 * grey) * self.oedema)

    def paint(self, hu: Array) -> Array:
        """Blood over the finished tissue."""
        return np.asarray(hu * (1 - self.blood) + (BLOOD + 2.5 * self.texture) * self.blood)


def _nothing(person: Person, x: Array, y: Array, z: float, depth: Array) -> Lesion:
    none = np.zeros_like(x)
    return Lesion(none > 1, none, none, none, none, none, (0.0, 0.0, 0.0), none)


def _hemorrhage(person: Person, x: Array, y: Array, z: float, depth: Array) -> Lesion:
    """A putaminal bleed with a rim of oedema that shifts the midline a few mm."""
    base, centre = _nothing(person, x, y, z, depth), (28.0 * person.side, -3.0, 9.0)
    rough = 2.6 * person.blob(x, y, z) + 1.4 * person.warp[0](2 * x, 2 * y, 2 * z)
    edge = ellipsoid((x, y, z), centre, (12.5, 19.0, 19.0), 12 * person.side) + rough
    blood = np.clip(0.5 - edge / 1.8, 0, 1)
    rim = np.clip((6.0 + 1.5 * person.slow(x, y, z) - edge) / 2.5, 0, 1)
    push = (centre[0], centre[1], 5.0 * float(np.exp(-(((z - 9) / 24) ** 2))))
    base = replace(base, mask=blood > 0.5, blood=blood, oedema=0.85 * rim, swelling=0.6 * rim, push=push)
    return replace(base, texture=person.blob(2 * x, 2 * y, z))


def _infarct(person: Person, x: Array, y: Array, z: float, depth: Array) -> Lesion:
    """A subacute infarct of the middle cerebral artery's territory: insula, lentiform nucleus, lateral cortex."""
    base, lateral = _nothing(person, x, y, z, depth), x * person.side
    wobble = 3.0 * person.blob(x, y, z) + 3.0 * person.slow(x, y, z)
    half = 40.0 - 0.35 * max(z - 10, 0.0)
    front = (y + 38 - 0.30 * lateral + wobble) / 5.0  # border with the anterior cerebral artery's territory
    back = (half - 2 - y - 0.10 * lateral + wobble) / 5.0
    inner = (lateral - (21 + 0.10 * max(z - 5, 0.0)) + wobble) / 4.0
    top = (52 - z) / 8.0
    share = np.clip(np.minimum(np.minimum(front, back), np.minimum(inner, top)), 0, 1)
    return replace(base, mask=share > 0.5, infarct=share, swelling=share, push=(40.0 * person.side, 0.0, 1.6))


def _subdural(person: Person, x: Array, y: Array, z: float, depth: Array) -> Lesion:
    """An acute crescent along one convexity."""
    base, angle = _nothing(person, x, y, z, depth), np.arctan2(y, x * person.side)
    width = 11.0 * np.clip(np.cos(angle * 0.95 + 0.1), 0, 1) ** 0.8 * float(np.clip((66 - z) / 30, 0, 1))
    width = width + 0.7 * person.slow(x, y, z) * (width > 1)
    blood = np.clip((width - depth) / 0.9, 0, 1) * (width > 1)
    closed = np.exp(-(((depth - width) / 30) ** 2)) * np.clip(x * person.side / 20, 0, 1)
    base = replace(base, mask=blood > 0.5, blood=blood, swelling=closed, push=(62.0 * person.side, 0.0, 7.0))
    return replace(base, texture=person.blob(x, y, z))


def _subarachnoid(person: Person, x: Array, y: Array, z: float, depth: Array) -> Lesion:
    """Blood in the sulci and the Sylvian fissure of one side."""
    base = _nothing(person, x, y, z, depth)
    near = np.clip((x * person.side - 8 + 6 * person.slow(x, y, z)) / 8, 0, 1) * np.clip((50 - np.abs(y)) / 12, 0, 1)
    near = near * float(np.clip((58 - z) / 15, 0, 1)) * (depth < 32)
    csf = np.minimum(sylvian(np.abs(x), y, z) - 1.1, sulci(person, x, y, z, depth) - person.sulci) < 0.3
    return replace(base, bleed_in_sulci=56.0 * near, mask=(near > 0.5) & csf)


LESIONS: dict[str, Callable[[Person, Array, Array, float, Array], Lesion]] = {
    "normal": _nothing,
    "hemorrhage": _hemorrhage,
    "infarct": _infarct,
    "subdural": _subdural,
    "subarachnoid": _subarachnoid,
}

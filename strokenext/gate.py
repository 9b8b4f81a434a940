"""Is this an axial head CT slice, the only picture in the model's scope? A reason in a sentence when it is not.

What makes a head CT unlike other pictures is its skull: a closed ring of *saturated* white (bone lies
far above any brain window) around homogeneous, darker tissue, in black air. The gate measures that on
a small copy of the head, with rules whose limits lie in the wide gaps between the project's head CT and
everything else it has; `python -m training gate` measures them (results/gate.json). A refusal
costs the reader a click, a wrong answer on an MRI costs more; but the limits lean towards accepting,
because pictures of other hospitals look unlike ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from strokenext.preprocess.head import brain_level, edge_distance, find_head
from strokenext.preprocess.outline import AIR, border, solidity

from .types import NEUTRAL_MODALITIES, BoolArray, ByteArray, FloatArray, Gate, Slice
from .windows import BRAIN, grey01

#: Shorter sides than this hold too little detail for any finding.
MIN_SIDE = 64
#: A picture whose grey levels (0..1, 1st to 99.9th percentile) span less is blank.
MIN_RANGE = 0.06
#: The head is measured on a copy of this many pixels along its longer side: a skull is then 4 to 8 pixels thick.
SIZE = 144
#: Bone is brighter than brain by this share of the way from brain to the brightest 0.5 %: above fresh blood.
BONE_SHARE = 0.6
#: Enclosed: bone is met in at least 14 of 16 directions.
ENCLOSED = 0.87
#: Enough of them where a bone flap was taken out; then the tissue must be large (OPEN_BRAIN of the head), because
#: tongue and neck muscle between jaw and spine are enclosed so far too, up to 0.31 of the head.
HALF_ENCLOSED = 0.6
OPEN_BRAIN = 0.40
#: A side of the head's box along which the head runs for more than the first is where the picture or a frame cuts it;
#: for more than the second, about a quarter of the head is missing.
FLAT, MOST_CUT = 0.25, 0.9
#: Where the picture cuts the head in more directions than the rest of this share, no skull can be told.
LEAST_SEEN = 0.12
#: DICOM body parts that no head scan carries. Neck and spine are left to the pixels: combined scans name them.
OTHER_PARTS = (
    *("CHEST", "THORAX", "LUNG", "HEART", "BREAST", "ABDOMEN", "LIVER", "PELVIS", "HIP", "KNEE", "LEG", "FOOT"),
    *("ANKLE", "HAND", "WRIST", "ELBOW", "ARM", "SHOULDER", "EXTREMITY", "COLON", "KIDNEY"),
)
#: Length of a head or vertex slice in mm, from neonates to the largest adults with ears and nose.
HEAD_MM = (40.0, 290.0)


@dataclass(frozen=True)
class Evidence:
    """What the gate measures; shares are 0..1.

    `seen` is the share of directions from the head's centre in which nothing straight cuts the head; of these,
    `skull` is the share in which bone lies in the outer third of the way, `white` in which that part reaches the top of
    the grey scale and `bright` in which it comes near. `saturation` is the share of bone pixels at the top of the grey
    scale, `rim` the share of bone in the outer eighth of the head, `contrast` the grey of bone over that of brain.
    `brain` is the share of the head that is broad, even tissue enclosed by bone, `open_brain` the same where a part of
    the skull may be missing; `bone` the share that is bone; `cut` the longest share of a side of the head's box along
    which the head is cut straight; `area` the share of the picture that the head covers; `rings` the number of closed
    skulls; `texture` the fine grain of the brain relative to its level, which a camera adds to anything, and `relief`
    its broader ups and downs, uneven light taken off, which ventricles, sulci and cortex make; `level` the grey of the
    brain.
    """

    seen: float
    skull: float
    white: float
    bright: float
    saturation: float
    rim: float
    contrast: float
    brain: float
    open_brain: float
    bone: float
    cut: float
    area: float
    rings: int
    texture: float
    relief: float
    level: float

    @property
    def closed(self) -> bool:
        """A whole skull around brain: what is straight about the head's outline is then a page or a frame beside it."""
        return self.rings == 1 and self.brain > 0.5 and self.seen > LEAST_SEEN and self.skull > 0.9

    @property
    def ringed(self) -> bool:
        """A ring of bone around brain, cut by a crop or kept from the top of the grey scale by noise, light, camera."""
        brain = self.brain > 0.25 or (self.brain > 0.08 and self.open_brain > 0.5)
        bone = self.skull > 0.7 and self.bright > 0.6 and self.rim > 0.12 and self.contrast > 1.3
        return brain and bone and (self.bone < 0.5 or self.area < 0.5)


class _Rule(NamedTuple):
    code: str
    broken: Callable[[Evidence], bool]
    reason: str


_NO_SKULL = (
    "No bright skull surrounds darker brain, as it does in every head CT: an MRI, another picture, a scan whose skull "
    "was removed or a bone window looks like this."
)
_SEVERAL = "The picture shows several slices. Give one slice at a time, or the series as a folder or zip."

#: Asked in this order; the first broken rule gives the reason.
RULES: tuple[_Rule, ...] = (
    _Rule(
        "cropped",
        lambda e: e.cut > MOST_CUT and e.bone > 0.03 and not e.closed,
        "The picture cuts through the head, so part of the brain is missing. Give the whole slice.",
    ),
    _Rule(
        "no-background",
        lambda e: e.area > 0.93 and (e.white < 0.9 or e.saturation < 0.6) and not e.ringed,
        "No dark background was found around a head, so its outline cannot be measured: a very tight crop, a grey "
        "surround, a photograph or a document is like that. Give the whole slice on black.",
    ),
    _Rule("no-skull", lambda e: (e.bone < 0.07 or e.saturation + e.white < 1.1) and not e.ringed, _NO_SKULL),
    _Rule("no-skull", lambda e: e.contrast < 1.12, _NO_SKULL),
    _Rule("several", lambda e: e.rings > 1, _SEVERAL),
    _Rule(
        "vertex",
        lambda e: e.brain < 0.07 and e.bone > 0.5,
        "Almost everything in the picture is as bright as bone and almost no brain is visible: a slice at the top of "
        "the skull, or no head CT at all.",
    ),
    _Rule(
        "no-brain",
        lambda e: e.open_brain < OPEN_BRAIN and (e.brain < 0.09 or (e.brain < 0.2 and e.skull < 0.8)),
        "The slice shows almost no brain inside the skull: it lies at the skull base, the face or the neck, or it is "
        "another part of the body.",
    ),
    _Rule("no-skull", lambda e: e.white < 0.45 and not e.ringed, _NO_SKULL),
    _Rule(
        "drawing",
        lambda e: e.texture < 0.004 or e.relief < 0.016,
        "The picture is a drawing: its tissue has none of the grain, or none of the structure, of a CT image.",
    ),
)


def check_scope(image: Slice) -> Gate:
    """Whether `image` is an axial head CT slice with brain; never raises, costs under 30 ms."""
    stated = _header(image)
    if stated is not None:
        return stated
    if min(image.shape) < MIN_SIDE:
        rows, columns = image.shape
        return _no("too-small", f"The picture has only {columns} x {rows} pixels; at least {MIN_SIDE} are needed.")
    grey = np.nan_to_num(grey01(image, BRAIN))
    if image.padding is not None:
        grey = np.where(image.padding, np.float32(0), grey)
    low, high = np.percentile(grey[::2, ::2], (1, 99.9))
    if high - low < MIN_RANGE:
        return _no("blank", "The picture is blank or nearly so.")
    verdict = _look(grey, image)
    bright_edge = not verdict.accepted and np.median(border(grey)) > 0.5
    if bright_edge and _look((1.0 - grey).astype(np.float32), image).accepted:
        return _no("inverted", "The grey scale is inverted: bone is black and air is white. Invert the picture.")
    return verdict


def measure(grey: FloatArray) -> Evidence | None:
    """The evidence in a picture (H, W) of grey levels 0..1, or None where no head stands out."""
    head = find_head(grey)
    return None if head is None else _evidence(grey, head.mask)


def _header(image: Slice) -> Gate | None:
    """What the file itself rules out."""
    header = image.header
    if header.modality and header.modality not in NEUTRAL_MODALITIES:
        return _no("modality", f"The file says it is {header.modality}, not CT.")
    if {"LOCALIZER", "SCOUT"} & {str(v).upper() for v in header.image_type}:
        return _no("localizer", "This is a localizer (scout) image, not an axial slice.")
    if header.axial is False:
        return _no("not-axial", "The file says the image is not an axial slice (it is coronal, sagittal or oblique).")
    part = (header.body_part or "").upper()
    if "HEAD" not in part and any(word in part for word in OTHER_PARTS):
        return _no("body-part", f"The file says the image shows another part of the body ({part.lower()}).")
    if header.scope_problem:
        return _no("header", header.scope_problem)
    return None


def _look(grey: FloatArray, image: Slice) -> Gate:
    """What the pixels alone say."""
    head = find_head(grey)
    if head is None:
        return _no("no-head", "No head stands out from the background of the picture.")
    if image.spacing is not None:
        length = max(head.extent[0] * image.spacing[1], head.extent[1] * image.spacing[0])
        if not HEAD_MM[0] <= length <= HEAD_MM[1]:
            return _no("size", f"The object in the picture is {length / 10:.0f} cm long, which is no head.")
    evidence = _evidence(grey, head.mask)
    for rule in RULES:
        if rule.broken(evidence):
            return _no(rule.code, rule.reason)
    if _more_heads(grey, head.mask):
        return _no("several", _SEVERAL)
    return Gate(True)


def _no(code: str, reason: str) -> Gate:
    return Gate(False, reason, code)


def _evidence(grey: FloatArray, mask: BoolArray) -> Evidence:
    small, inside = _crop(grey, mask)
    count = max(int(inside.sum()), 1)
    level, top = brain_level(small, inside), float(np.percentile(small[inside], 99.5))
    flat = _flat(mask)
    beyond = _beyond(inside, flat > FLAT)
    bone = broad = half = np.zeros_like(inside)
    for _ in range(2):  # the second round reads the brain's level where the first found enclosed tissue
        threshold = level + BONE_SHARE * (top - level)
        bone = (small >= threshold) & inside
        enclosure, soft = _enclosure(bone | beyond), inside & ~bone
        broad = _broad(small, soft & (enclosure >= ENCLOSED), level, threshold)
        half = _broad(small, soft & (enclosure >= HALF_ENCLOSED), level, threshold)
        if half.sum() > 50:
            level = float(np.median(small[broad if broad.sum() > 50 else half]))
    seen, skull, white, bright = _skull(small, bone, inside, flat > FLAT, top)
    grain = (small - cv2.GaussianBlur(small, (0, 0), 1.5))[broad]
    depth = edge_distance(inside)
    return Evidence(
        seen=seen,
        skull=skull,
        white=white,
        bright=bright,
        saturation=float((small[bone] > 0.97 * top).mean()) if bone.any() else 0.0,
        rim=float(bone[(depth > 0) & (depth < SIZE / 8)].mean()),
        contrast=float(np.median(small[bone]) / max(level, 0.02)) if bone.any() else 0.0,
        brain=float(broad.sum() / count),
        open_brain=float(half.sum() / count),
        bone=float(bone.sum() / count),
        cut=float(flat.max()),
        area=float(mask.mean()),
        rings=_rings(bone, broad),
        texture=float(np.median(np.abs(grain)) / max(level, 0.02)) if grain.size > 20 else 1.0,
        relief=_relief(small, half, level),
        level=level,
    )


def _relief(small: FloatArray, tissue: BoolArray, level: float) -> float:
    """Standard deviation of the smoothed tissue around its best quadratic surface, relative to its level; 1 where
    there is too little tissue to tell."""
    deep = cv2.erode(tissue.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if deep.sum() < 200:
        return 1.0
    weight = cv2.GaussianBlur(tissue.astype(np.float32), (0, 0), 2.5)
    smooth = cv2.GaussianBlur(small * tissue, (0, 0), 2.5) / np.maximum(weight, 0.01)
    y, x = ((axis - axis.mean()) / SIZE for axis in np.nonzero(deep))
    surface = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    fit, *_ = np.linalg.lstsq(surface, smooth[deep], rcond=None)
    return float(np.std(smooth[deep] - surface @ fit) / max(level, 0.02))


def _crop(grey: FloatArray, mask: BoolArray) -> tuple[FloatArray, BoolArray]:
    """The head on black and its mask, cut to the head's box, longer side SIZE, in a square with a black rim."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = (slice(y, y + height), slice(x, x + width))
    scale = SIZE / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.where(mask[box], grey[box], np.float32(0)), size, interpolation=how)
    inside = cv2.resize(mask[box].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    left, top = (SIZE + 8 - size[0]) // 2, (SIZE + 8 - size[1]) // 2
    rim = (top, SIZE + 8 - size[1] - top, left, SIZE + 8 - size[0] - left)
    small = cv2.copyMakeBorder(small, *rim, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.copyMakeBorder(inside, *rim, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(small, dtype=np.float32), np.asarray(inside > 0)


def _disc(side: int) -> ByteArray:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)


def _broad(small: FloatArray, where: BoolArray, level: float, threshold: float) -> BoolArray:
    """Tissue like brain, not air and not much above its level once smoothed, where a disc of 9 pixels fits."""
    soft = cv2.GaussianBlur(small, (0, 0), 1.0)
    like = where & (soft > 0.5 * level) & (soft < min(threshold, 1.9 * level + 0.02))
    closed = cv2.morphologyEx(like.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    closed = closed * (small < threshold).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, _disc(9)) > 0)


def _enclosure(bone: BoolArray) -> FloatArray:
    """For every pixel the share of 16 directions in which bone is met before the picture ends."""
    side = bone.shape[0]
    reach = int(side * 1.42) + 2
    shift = (reach - side) / 2
    total = np.zeros(bone.shape, np.float32)
    for turn in range(8):
        matrix = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, turn * 22.5, 1.0)
        matrix[:, 2] += shift
        turned = cv2.warpAffine(bone.astype(np.uint8), matrix, (reach, reach), flags=cv2.INTER_NEAREST)
        behind = np.maximum.accumulate(turned, axis=1)
        ahead = np.maximum.accumulate(turned[:, ::-1], axis=1)[:, ::-1]
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        total += cv2.warpAffine(behind + ahead, matrix, (side, side), flags=flags)
    return total / np.float32(16)


def _skull(
    small: FloatArray, bone: BoolArray, inside: BoolArray, cut: BoolArray, top: float
) -> tuple[float, float, float, float]:
    """Of 96 directions from the head's centre the share that is not cut, and the shares of these with bone, with white
    (`top` grey) and with nearly white in the outer third of the way; 0 where most of the head is cut."""
    rows, columns = np.nonzero(inside)
    angle = np.arange(96, dtype=np.float32)[:, None] * np.float32(2 * np.pi / 96)
    radius = np.arange(SIZE, dtype=np.float32)[None]
    x = (columns.mean() + radius * np.cos(angle)).astype(np.float32)
    y = (rows.mean() + radius * np.sin(angle)).astype(np.float32)
    along = cv2.remap(inside.astype(np.uint8), x, y, cv2.INTER_NEAREST) > 0
    last = np.where(along, radius, 0).argmax(axis=1)[:, None]
    rim = last.astype(np.float32)
    outer = along & (radius >= 0.64 * rim) & (radius <= rim)
    at_x, at_y = np.take_along_axis(x, last, 1)[:, 0], np.take_along_axis(y, last, 1)[:, 0]
    near = (at_y < rows.min() + 2, at_y > rows.max() - 2, at_x < columns.min() + 2, at_x > columns.max() - 2)
    kept = ~np.any([close & edge for close, edge in zip(near, cut, strict=True)], axis=0)
    if kept.mean() < LEAST_SEEN:
        return float(kept.mean()), 0.0, 0.0, 0.0
    hit = cv2.remap(bone.astype(np.uint8), x, y, cv2.INTER_NEAREST) > 0
    grey = cv2.remap(small, x, y, cv2.INTER_LINEAR)
    shares = [float((what & outer).any(axis=1)[kept].mean()) for what in (hit, grey >= 0.95 * top, grey >= 0.85 * top)]
    return float(kept.mean()), shares[0], shares[1], shares[2]


def _flat(mask: BoolArray) -> FloatArray:
    """For top, bottom, left and right the share of that side of the mask's box along which the mask runs: small where
    it is round, large where an edge of the picture or of a frame cuts it."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = mask[y : y + height, x : x + width]
    dy, dx = height // 150, width // 150  # a softened edge wavers
    return np.array([side.mean() for side in (box[dy], box[-1 - dy], box[:, dx], box[:, -1 - dx])], dtype=np.float32)


def _beyond(inside: BoolArray, cut: BoolArray) -> BoolArray:
    """The lines just outside the cut sides of the head's box: skull that is not in the picture encloses too."""
    x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
    out = np.zeros_like(inside)
    out[[y - 1, y + height]] = cut[:2, None]
    out[:, x - 1] |= cut[2]
    out[:, x + width] |= cut[3]
    return out


def _rings(bone: BoolArray, brain: BoolArray) -> int:
    """Closed skulls of at least a twentieth of the picture that hold brain: 1 in a single slice."""
    closed = cv2.morphologyEx(bone.astype(np.uint8), cv2.MORPH_CLOSE, _disc(3))
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    rings = 0
    for contour in contours:
        if cv2.contourArea(contour) >= 0.05 * bone.size:
            filled = cv2.drawContours(np.zeros_like(closed), [contour], -1, 1, cv2.FILLED) > 0
            rings += bool(brain[filled].mean() > 0.35)
    return rings


def _more_heads(grey: FloatArray, mask: BoolArray) -> bool:
    """Whether another part of the picture, at least a third of the head's size, is as solid as a head, with bone."""
    away = cv2.dilate(mask.astype(np.uint8), _disc(5)) > 0
    around = (cv2.dilate(mask.astype(np.uint8), _disc(15)) > 0) & ~away
    rest = np.where(away, np.float32(np.median(grey[around]) if around.any() else 0), grey)
    if float((rest > AIR).mean()) < 0.2 * float(mask.mean()):
        return False
    head = find_head(rest)
    if head is None or not mask.sum() / 3 < head.mask.sum() < 1.5 * mask.sum() or solidity(head.mask) < 0.85:
        return False
    second = _evidence(rest, head.mask)
    return second.skull > 0.7 and second.bright > 0.5 and second.bone > 0.07 and second.brain > 0.2

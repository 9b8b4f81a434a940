"""The planes that classifiers of slices and the 3-D network learn from: grey levels, brain, known blood."""

from __future__ import annotations

import cv2
import numpy as np

from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.head import well_inside
from strokenext.preprocess.outline import filled
from strokenext.types import BoolArray, ByteArray, Slice
from strokenext.windows import BRAIN, grey01
from training.data.images import open_image, read_mask
from training.data.labels import EDEMA, INFARCT, mask_of
from training.data.manifest import Manifest, Record
from training.drawing.brain import brain_depth

from .hematoma import derive_hematoma
from .store import PlaneSet, Row

#: Side of a cached slice in pixels; training resamples from it to its own size.
CACHE_SIZE = 224
#: Cached before levelling, so that bone is still where its window put it.
FRAMING = Preprocess(size=CACHE_SIZE, frame="head", level=False, channels="stroke")
#: Grey 0..255; distance to the brain's edge in pixels; 255 well inside the head; annotated blood; pixels whose label
#: is not known.
PLANES = ("grey", "depth", "inner", "blood", "ignore")
#: A slice with less brain than this share of its frame carries no simulated lesion.
MIN_BRAIN = 0.18
#: An oedema outline that encloses fewer pixels is an open rim: where the blood is, is not known.
LEAST_ENCLOSED = 20


def planes_of(
    image: Slice, blood: BoolArray | None = None, ignore: BoolArray | None = None, framing: Preprocess = FRAMING
) -> ByteArray:
    """(P, S, S) uint8 of one slice; masks are in the slice's own pixels."""
    framed, size = framing.framed(image), framing.size
    depth = brain_depth(framed)
    out = np.zeros((len(PLANES), size, size), dtype=np.uint8)
    out[0] = np.rint(framed.grey * 255)
    out[1] = np.clip(np.rint(depth), 0, 255)
    out[2] = well_inside(framed.head) * np.uint8(255)
    for plane, mask in ((3, blood), (4, ignore)):
        if mask is not None:
            turned = cv2.warpAffine(mask.astype(np.uint8) * 255, framed.affine, (size, size), flags=cv2.INTER_LINEAR)
            out[plane] = turned
    return out


def annotation(manifest: Manifest, record: Record, image: Slice) -> tuple[BoolArray | None, BoolArray | None]:
    """Where a slice's blood is and where its label is not known, both (H, W) or None for nowhere.

    Oedema masks outline what surrounds the blood: the blood is what they enclose or, beside an open rim, what
    `derive_hematoma` finds; the oedema itself is left open. A lesion without a mask teaches its class only, nothing
    of it is known by pixel. Masks of infarcts are kept for evaluation alone.
    """
    if not record.presence:
        return None, None
    shape = image.shape
    nowhere = np.ones(shape, dtype=bool)
    of, name = mask_of(record), record.extra.get("mask")
    if not name or (of == INFARCT and not record.evaluation_only):
        return None, nowhere
    mask = read_mask(manifest, record, shape)
    if not mask.any():  # a rim of one pixel may vanish in a copy made smaller: nothing is known then
        return None, nowhere
    if of != EDEMA:
        return mask, None
    derived = derive_hematoma(grey01(image, BRAIN), mask)
    if derived is not None:
        return derived.blood, mask | derived.unclear
    blood = filled(mask) & ~mask
    return (blood, mask) if blood.sum() >= LEAST_ENCLOSED else (None, nowhere)


def row_of(manifest: Manifest, record: Record, framing: Preprocess) -> tuple[Row, ByteArray]:
    """A record's row and planes. Raises StrokeNeXt errors for a file that can no longer be read."""
    image = open_image(manifest.file(record))
    blood, ignore = annotation(manifest, record, image)
    planes = planes_of(image, blood, ignore, framing)
    upright = planes if framing.frame == "head" else planes_of(image)
    return Row.of(record, brain=float((upright[1] > 0).mean())), planes


#: What a cache holds unless a system asks for planes of its own.
SLICE_PLANES = PlaneSet(PLANES, FRAMING, row_of)

"""Planes of a cache for segmentation: grey levels in place, and what is known of each class pixel by pixel.

`python -m training cache MANIFEST FOLDER --masks` writes such a cache. Three classes: the hematoma, the perihematomal
edema around it, and the infarct. What each source knows of them:
- edema masks (phe_sich) mark the edema; the hematoma beside it is derived, see `hematoma`; the rim is no infarct, of
  the rest of the brain nobody said so;
- blood masks (mbh, evaluation only) mark the hematoma, and nobody looked for edema or infarcts;
- infarct masks (aisd, evaluation only) mark the infarct; there is no hematoma, and the infarct's edema is another kind;
- slices labelled normal have none;
- any other slice tells nothing by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strokenext.preprocess.contract import Preprocess, to_frame
from strokenext.preprocess.head import well_inside
from strokenext.types import BoolArray, ByteArray, Slice
from strokenext.windows import BRAIN, grey01
from training.cache.hematoma import derive_hematoma
from training.cache.store import PlaneSet, Row
from training.data.images import open_image, read_mask
from training.data.labels import BLOOD, EDEMA, INFARCT, mask_of
from training.data.manifest import Manifest, Record

#: What the network marks, in the order of its outputs.
MASK_CLASSES = ("hematoma", EDEMA, INFARCT)
#: Planes of the cache: grey 0..255; 255 well inside the head; per class 255 where it is, and where that is known.
MASK_PLANES = ("grey", "inner", *MASK_CLASSES, *(f"{name} known" for name in MASK_CLASSES))
#: Masks are drawn on the picture as it is: noise removed, what is not head blacked out, nothing moved.
MASK_FRAMING = Preprocess(size=256, frame="contour-in-place", level=False, channels="stroke")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a slice: `masks` and `known` are (K, H, W) bool in the order of MASK_CLASSES."""

    masks: BoolArray
    known: BoolArray


def truth_of(manifest: Manifest, record: Record, image: Slice) -> Truth:
    """The masks of a record in its own pixels. Raises DataError for a mask file of another size."""
    masks = np.zeros((len(MASK_CLASSES), *image.shape), dtype=bool)
    known = np.zeros_like(masks)
    name, of = record.extra.get("mask"), mask_of(record)
    if record.presence == 0:
        known[:] = True
    elif record.subtype == 0:
        known[0] = True
        if name and of == INFARCT:
            masks[2], known[2] = read_mask(manifest, record, image.shape), True
    elif name and of == EDEMA:
        masks[1] = read_mask(manifest, record, image.shape)
        known[2] = masks[1]
        if masks[1].any():  # a rim of one pixel may vanish in a copy made smaller
            _add_derived(masks, known, image)
    elif name and of == BLOOD:
        masks[0], known[0] = read_mask(manifest, record, image.shape), True
    return Truth(masks, known)


def _add_derived(masks: BoolArray, known: BoolArray, image: Slice) -> None:
    """The edema is known everywhere, the hematoma where it could be derived; both change in place."""
    known[1] = True
    hematoma = derive_hematoma(grey01(image, BRAIN), masks[1])
    if hematoma is not None:
        masks[0], known[0] = hematoma.blood, ~hematoma.unclear


def mask_row(manifest: Manifest, record: Record, framing: Preprocess) -> tuple[Row, ByteArray]:
    """A record's row and its (P, S, S) planes. Raises the reader's errors for a file that can no longer be read."""
    image = open_image(manifest.file(record))
    truth = truth_of(manifest, record, image)
    framed = framing.framed(image)
    planes_of = np.concatenate([truth.masks, truth.known]).astype(np.float32) * 255
    masks = [to_frame(plane, framed.affine, framing.size) for plane in planes_of]
    planes = np.stack([np.rint(framed.grey * 255), well_inside(framed.head) * 255, *masks])
    return Row.of(record, brain=float((planes[1] > 0).mean())), planes.astype(np.uint8)


#: What the cache of a segmentation model holds.
SEGMENTATION_PLANES = PlaneSet(
    MASK_PLANES, MASK_FRAMING, mask_row, "masks", "what is known pixel by pixel, for segmentation"
)

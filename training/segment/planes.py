"""Planes of a cache for segmentation: grey levels in place, and what is known of each class pixel by pixel.

`python -m training cache MANIFEST FOLDER --masks` writes such a cache. Two classes: the hematoma and the
perihematomal edema around it. What each source knows of them:
- edema masks (phe_sich) mark the edema; the hematoma beside it is derived, see `hematoma`;
- blood masks (mbh, evaluation only) mark the hematoma, and nobody looked for edema;
- slices labelled normal have neither; a slice of an infarct has no hematoma, and its edema is another kind;
- any other slice tells nothing by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.head import well_inside
from strokenext.types import BoolArray, ByteArray, Slice
from strokenext.windows import BRAIN, grey01
from training.cache.hematoma import derive_hematoma
from training.cache.store import PlaneSet, Row
from training.data.images import open_image, read_mask
from training.data.labels import BLOOD, EDEMA, mask_of
from training.data.manifest import Manifest, Record
from training.data.teknofest import for_segmentation

#: What the network marks, in the order of its outputs.
MASK_CLASSES = ("hematoma", EDEMA)
#: Planes of the cache: grey 0..255; 255 well inside the head; per class 255 where it is, and where that is known.
MASK_PLANES = ("grey", "inner", *MASK_CLASSES, *(f"{name} known" for name in MASK_CLASSES))
#: Masks are drawn on the picture as it is: noise removed, what is not head blacked out, nothing moved.
MASK_FRAMING = Preprocess(size=256, frame="contour-in-place", level=False, channels="stroke")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of a slice: `masks` and `known` are (2, H, W) bool in the order of MASK_CLASSES."""

    masks: BoolArray
    known: BoolArray


def truth_of(manifest: Manifest, record: Record, image: Slice) -> Truth:
    """The masks of a record in its own pixels. Raises DataError for a mask file of another size."""
    masks = np.zeros((2, *image.shape), dtype=bool)
    known = np.zeros_like(masks)
    name, of = record.extra.get("mask"), mask_of(record)
    if record.presence == 0:
        known[:] = True
    elif record.subtype == 0:
        known[0] = True
    elif name and of == EDEMA:
        masks[1] = read_mask(manifest, record, image.shape)
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
    """A record's row and its (6, S, S) planes. Raises the reader's errors for a file that can no longer be read."""
    image = open_image(manifest.file(record))
    truth = truth_of(manifest, record, image)
    framed, masks = for_segmentation(image, np.concatenate([truth.masks, truth.known]) * np.uint8(255), framing)
    planes = np.stack([np.rint(framed.grey * 255), well_inside(framed.head) * 255, *masks])
    return Row.of(record, brain=float((planes[1] > 0).mean())), planes.astype(np.uint8)


#: What the cache of a segmentation model holds.
SEGMENTATION_PLANES = PlaneSet(
    MASK_PLANES, MASK_FRAMING, mask_row, "masks", "what is known pixel by pixel, for segmentation"
)

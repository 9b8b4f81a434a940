"""The preparation of the TEKNOFEST 2021 systems, per task, and a picture of its steps.

    python -m training teknofest SLICE... --out FOLDER

A DICOM file or picture is read by `strokenext.io`, its noise removed, the head cut out along its contour; for
classification the head is then centred, for segmentation it stays where it is, so that a mask drawn on the image lies
where it was drawn. Both are frames of `Preprocess` ("contour", "contour-in-place"): what a recipe names is stored with
the weights, and page, CLI and API prepare a user's file the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strokenext.errors import DataError
from strokenext.io.read import read_slice
from strokenext.preprocess.contour import contour_mask, cut_out, denoised
from strokenext.preprocess.contract import Framed, Preprocess, to_frame
from strokenext.types import BoolArray, ByteArray, FloatArray, Slice, Window
from strokenext.windows import grey01

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What the detection (VGG16) and segmentation (U-Net) recipes of this preparation store with their weights.
CLASSIFICATION = Preprocess(size=224, frame="contour", channels="grey")
SEGMENTATION = Preprocess(size=256, frame="contour-in-place", channels="grey")
#: Names of the steps, in order; the last one is for classification alone.
STEPS = ("as read", "without noise", "cut out", "centred")


def for_segmentation(
    image: Slice, masks: BoolArray | ByteArray, preprocess: Preprocess = SEGMENTATION
) -> tuple[Framed, FloatArray]:
    """Grey levels (S, S) 0..1, the head where it was, and masks (N, H, W) brought to (N, S, S) as the grey levels are.

    Edges of the masks are as soft as resampling makes them.
    Raises DataError for masks of another shape than the image, or a preparation that moves the head.
    """
    if (shape := masks.shape[1:]) != image.shape:
        raise DataError(f"The mask has {shape} pixels and its image {image.shape}; they must be of one slice.")
    if preprocess.frame in ("contour", "head"):
        raise DataError(f"The frame '{preprocess.frame}' moves the head; masks need 'contour-in-place' or 'square'.")
    framed = preprocess.framed(image)
    return framed, np.stack([to_frame(m, framed.affine, preprocess.size) for m in masks.astype(np.float32)])


def steps(image: Slice, preprocess: Preprocess = CLASSIFICATION) -> dict[str, FloatArray]:
    """Grey levels 0..1 after each of STEPS: three in the image's own pixels (H, W), the last (S, S)."""
    grey = grey01(image, Window(*preprocess.window))
    clean = denoised(grey)
    pictures = (grey, clean, cut_out(clean, contour_mask(clean)), preprocess.framed(image).grey)
    return dict(zip(STEPS, pictures, strict=True))


def draw(image: Slice) -> Figure:
    """The steps side by side, a cross in the middle of each picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * len(STEPS), 2.9), layout="constrained")
    for axes, (name, picture) in zip(figure.subplots(1, len(STEPS)), steps(image).items(), strict=True):
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1)
        height, width = picture.shape
        axes.plot((width - 1) / 2, (height - 1) / 2, "+", color="#E69F00", ms=10)
        axes.set_title(name, fontsize=9)
        axes.axis("off")
    return figure


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training teknofest", description=__doc__.splitlines()[0])
    p.add_argument("slices", type=Path, nargs="+", help="DICOM files or pictures")
    p.add_argument("--out", type=Path, required=True, help="folder for one PNG per slice; it shows patients' images")
    return p


def main(argv: Sequence[str]) -> int:
    """Draw the steps for each slice. Returns 0."""
    o = parser().parse_args(argv)
    o.out.mkdir(parents=True, exist_ok=True)
    for file in o.slices:
        target = o.out / f"{file.name}.steps.png"
        draw(read_slice(file, name=file.name)).savefig(target, dpi=110)
        print(target)
    return 0

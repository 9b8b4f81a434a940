"""Phantoms with outlined edema as a prepared data set on disk, for the tests of segmentation: nobody's pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from strokenext.models import build
from strokenext.preprocess.contract import Preprocess
from strokenext.record.config import ModelConfig
from strokenext.record.weights import save_model
from strokenext.regions import Masks
from strokenext.types import BoolArray
from training.data.manifest import Manifest, Record, Scalar
from training.drawing.phantom.head import Phantom, head_phantom
from training.splits.split import Split

SIDE = 128
FRAMING = Preprocess(size=96, frame="contour-in-place", level=False, channels="stroke")


def bleeding(seed: int, side: int = SIDE) -> Phantom:
    """A head with a bleed 25 mm wide whose place and side depend on the seed."""
    return head_phantom("hemorrhage", size=side, seed=seed, level=0.16)


def rim(lesion: BoolArray, width: int = 3) -> BoolArray:
    """What surrounds a lesion, open on the left as annotators leave it: no rim encloses it."""
    wide = cv2.dilate(lesion.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    ring = wide & ~(cv2.dilate(lesion.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    ring[:, : int(np.nonzero(lesion)[1].min()) + 2] = False
    return ring


def write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(".png", pixels)[1].tofile(file)


def bright(level: float = 0.62, width: int = 4, classes: int = 3) -> nn.Module:
    """A U-Net set by hand: above the grey level `level`, away from bone, it marks class 0; the others never.

    Its first channel is the grey level, its second what exceeds 0.9 of it, spread by four pixels; both are carried
    through. Its input is `channels="plain"`, grey levels 0..1.
    """
    network = build("unet", classes=classes, width=width)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.down[0], network.up[0]):  # the step up to full size sees the first level first
            for k in (0, 3):  # two convolutions, each under a norm that is made to change nothing
                block[k].weight[0, 0, 1, 1] = 1.0
                block[k].weight[1, 1] = 1.0
                block[k + 1].weight.fill_(float(np.sqrt(1 + block[k + 1].eps)))
        first = network.down[0]
        first[0].weight[1] = 0.0
        first[0].weight[1, 0, 1, 1] = 1.0
        first[1].bias[1] = -0.9
        network.classifier.weight[0, 0], network.classifier.weight[0, 1] = 60.0, -4000.0
        network.classifier.bias.copy_(torch.tensor([-60.0 * level, *[-30.0] * (classes - 1)]))
    return network.eval()


def segmentation_model(folder: Path, size: int = 96) -> Path:
    """The network of `bright` as a model folder."""
    config = ModelConfig(
        name=folder.name,
        architecture="unet",
        arguments={"width": 4},
        task="segmentation",
        classes=("hematoma", "perihematomal edema"),
        preprocess=Preprocess(size, frame="contour-in-place", channels="plain"),
        threshold=0.5,
        band=(0.5, 0.5),
        temperature=1.0,
        heat_scale=1.0,
        trained_on="Nothing: set by hand for tests.",
        licence="Apache-2.0",
        experimental=True,
        masks=Masks((0.5, 0.5), (0.0, 0.0), ("Bright tissue.", "The rim, never the blood.")),
    )
    save_model(folder, bright(classes=2), config, f"# {folder.name}\n\nSet by hand for tests.\n", half=False)
    return folder


def write_slices(root: Path, bleeds: int = 6, normals: int = 6, side: int = SIDE) -> Manifest:
    """`bleeds` slices of "rims" with outlined edema and an unlabelled one far away, `normals` of "heads"."""
    records = []
    for i in range(bleeds):
        phantom = bleeding(i, side)
        records.append(_record(root, f"rims/{i}", phantom, 1, 1, "rims", mask_of="perihematomal edema"))
        write(root / f"masks/rims/{i}.png", rim(phantom.lesion) * np.uint8(255))
    records.append(_record(root, "rims/0far", head_phantom("normal", side, 0, 0.6), None, None, "rims", away=4))
    for i in range(normals):
        records.append(_record(root, f"heads/{i}", head_phantom("normal", side, 50 + i, 0.25), 0, None, "heads"))
    blood = bleeding(90, side)
    records.append(_record(root, "clinic/0", blood, 1, 1, "clinic", only=True, mask_of="blood"))
    write(root / "masks/clinic/0.png", blood.lesion * np.uint8(255))
    return Manifest(root, tuple(records))


def split_of(manifest: Manifest) -> Split:
    """The last two of each source are held back: one to choose by, one to test on."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": [], "external": []}
    for source in ("rims", "heads"):
        paths = [r.path for r in manifest if r.source == source and r.presence is not None]
        for name, chosen in (("train", paths[:-2]), ("validation", paths[-2:-1]), ("test", paths[-1:])):
            parts[name] += chosen
    parts["external"] = [r.path for r in manifest if r.evaluation_only]
    return Split("patients", "presence", 0, True, {k: tuple(v) for k, v in parts.items()})


def _record(
    root: Path,
    name: str,
    phantom: Phantom,
    presence: int | None,
    subtype: int | None,
    source: str,
    only: bool = False,
    **extra: Scalar,
) -> Record:
    write(root / f"{name}.png", np.rint(np.clip(phantom.hu / 80, 0, 1) * 255).astype(np.uint8))
    patient = f"{source}/{name.rpartition('/')[2][0]}"
    more: dict[str, Scalar] = {"mask": f"masks/{name}.png"} if "mask_of" in extra else {}
    return Record(
        f"{name}.png", source, presence, subtype, patient, patient, name, "0" * 16, phantom.hu.shape, only, extra | more
    )

"""`python -m training figure`: a batch of slices as one picture, each with true label, predicted one and confidence.

    python -m training figure MODEL --manifest data/manifest.jsonl --split split.json --out batch.png
    python -m training figure MODEL --images data/test --heat --out batch.png

The model is a folder in the common layout, a bundled name or a Hub id; slices go through the same predictor as on the
page. The picture shows patients' images and belongs in no repository.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strokenext import Predictor, load, overlay
from strokenext.errors import DataError, InputError, OptionError
from strokenext.slice.prediction import Prediction
from strokenext.types import CLASSES, Slice
from training.data.class_folders import read_class_folders
from training.data.images import open_image
from training.data.labels import LABELS, class_of
from training.data.manifest import read_manifest
from training.data.reading import LabelledFile
from training.splits.split import read_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Pictures side by side.
COLUMNS = 4
#: Title of a right, a wrong and an unlabelled picture; colours that colour-blind eyes tell apart (Okabe and Ito).
RIGHT, WRONG, UNKNOWN = "#009E73", "#D55E00", "0.3"
#: Endings of files that matplotlib writes and a reader opens.
ENDINGS = (".png", ".pdf", ".svg")


@dataclass(frozen=True, eq=False)
class Tile:
    """One slice with its true class (None where unknown) and the model's answer."""

    image: Slice
    truth: str | None
    prediction: Prediction

    @property
    def right(self) -> bool | None:
        """Whether the model named the true class; None where that is unknown."""
        return None if self.truth is None else self.truth == self.prediction.label

    def caption(self) -> str:
        """Two lines: the true label; the predicted one with its confidence, and a word where that needs one."""
        p = self.prediction
        assert p.label is not None  # predicted by force
        assert p.probabilities is not None
        words = [] if p.gate.accepted else ["out of scope"]
        words += ["indeterminate"] if p.decision == "indeterminate" else []
        aside = f" ({', '.join(words)})" if words else ""
        return f"true: {self.truth or 'not known'}\npredicted: {p.label} {p.probabilities[p.label]:.2f}{aside}"


def truth(labelled: LabelledFile, task: str) -> str | None:
    """The true class of "presence" or "subtype", None where nobody said."""
    label = labelled.presence if task == "presence" else labelled.subtype
    return None if label is None else CLASSES[task][label]


def from_manifest(manifest: Path, split: Path | None = None, part: str = "test") -> list[LabelledFile]:
    """The slices of a manifest, or of one part of its split."""
    data = read_manifest(manifest)
    records = tuple(data) if split is None else read_split(split).records(data, part)
    return [LabelledFile(data.file(r), r.source, r.presence, r.subtype) for r in records]


def from_folder(folder: Path) -> list[LabelledFile]:
    """The pictures and DICOM files below class folders with their labels; else every file, labelled by the folder's
    own name where that is a class. Raises DataError for a folder that is not there or holds nothing.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    if labelled := read_class_folders(folder.name, folder).images:
        return list(labelled)
    files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    if not files:
        raise DataError(f"There is no image in {folder}.")
    labels = LABELS.get(class_of(folder.resolve().name) or "", (None, None))
    return [LabelledFile(f, folder.name, *labels) for f in files]


def predict_tiles(
    predictor: Predictor, files: Sequence[LabelledFile], count: int, seed: int = 0, heat: bool = False
) -> list[Tile]:
    """Predictions of `count` of the files, drawn by the seed. Labelled ones are preferred; a file that is no image of a
    slice is passed over. Raises DataError when none can be read.
    """
    known = [f for f in files if truth(f, predictor.task) is not None] or list(files)
    tiles: list[Tile] = []
    for i in np.random.default_rng(seed).permutation(len(known)):
        if len(tiles) == count:
            break
        try:
            image = open_image(known[i].file)
        except InputError:
            continue
        answer = predictor.predict(image, explain=heat, force=True)
        tiles.append(Tile(image, truth(known[i], predictor.task), answer))
    if not tiles:
        raise DataError(f"None of the {len(known)} files could be read as a slice of a head CT.")
    return tiles


def draw(predictor: Predictor, tiles: Sequence[Tile]) -> Figure:
    """The slices in rows of four, through the window the model saw them in, with the evidence where it was computed."""
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    figure = Figure(figsize=(2.6 * max(columns, 2), 3.0 * rows + 0.8), layout="constrained")
    for n, tile in enumerate(tiles):
        axes = figure.add_subplot(rows, columns, n + 1)
        axes.imshow(overlay.render(tile.image, tile.prediction.heat, window=tile.prediction.window))
        axes.set_title(tile.caption(), fontsize=8, color={True: RIGHT, False: WRONG, None: UNKNOWN}[tile.right])
        axes.axis("off")
    right = [t.right for t in tiles if t.right is not None]
    score = f": {sum(right)} of {len(right)} right" if right else ""
    config = predictor.config
    figure.suptitle(
        f"{config.name} ({config.architecture}), {config.task}, threshold {config.threshold:.2f}{score}", fontsize=9
    )
    figure.supxlabel("Research use only. These are images of patients: do not publish them.", fontsize=7)
    return figure


def main(argv: Sequence[str]) -> int:
    """Draw the picture. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training figure", description=__doc__.splitlines()[0])
    p.add_argument("model", help="checkpoint folder, bundled name or Hub id")
    data = p.add_mutually_exclusive_group(required=True)
    data.add_argument("--manifest", type=Path, help="written by `python -m training prepare`")
    data.add_argument("--images", type=Path, metavar="FOLDER", help="class folders, or a folder of images")
    p.add_argument("--split", type=Path, help="split file of the manifest")
    p.add_argument("--part", default="test", help="part of the split (default: test)")
    p.add_argument("--count", type=int, default=16, help="slices in the picture")
    p.add_argument("--seed", type=int, default=0, help="which slices")
    p.add_argument("--heat", action="store_true", help="draw the evidence over them")
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", type=Path, required=True, help=f"picture file ({', '.join(ENDINGS)})")
    o = p.parse_args(argv)
    if o.out.suffix.lower() not in ENDINGS:
        raise OptionError(f"The picture {o.out.name} must end in one of {', '.join(ENDINGS)}.")
    if o.count < 1 or (o.split and not o.manifest):
        raise OptionError("The picture needs at least one slice, and --split a --manifest.")
    files = from_manifest(o.manifest, o.split, o.part) if o.manifest else from_folder(o.images)
    predictor = load(o.model, device=o.device, kind="slice")
    tiles = predict_tiles(predictor, files, o.count, o.seed, o.heat)
    o.out.parent.mkdir(parents=True, exist_ok=True)
    draw(predictor, tiles).savefig(o.out, dpi=120)
    print(f"{len(tiles)} slices in {o.out}")
    return 0

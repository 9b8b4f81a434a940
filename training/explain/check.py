"""`python -m training explain`: whether a checkpoint's heat maps mean anything, on slices with lesion masks.

Hits in the masks and energy in them against a centre prior, heat in the lesion over heat in the rest of the brain,
heat outside the head, equivariance under mirroring, change under weight randomisation, deletion and insertion; for
StrokeNeXt and every other classifier alike. Slices that training saw are left out. A mask of edema or infarct is not
the blood: `masks_of` says which was measured. Edema lies in pieces around the bleed, so there the convex hull counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import nn

import strokenext
from strokenext.errors import DataError
from strokenext.preprocess.contract import Preprocess, to_image
from strokenext.record.config import ModelConfig
from strokenext.record.find import resolve
from strokenext.record.weights import load_network
from strokenext.saving import write_file
from strokenext.types import BoolArray, Progress
from training.cache.planes import LEAST_ENCLOSED
from training.data.images import open_image, read_mask
from training.data.labels import EDEMA
from training.data.manifest import Manifest, Record, read_manifest
from training.drawing.phantom.head import Kind, head_phantom
from training.measure.result import plain
from training.splits.split import Split, read_split
from training.terminal import progress_bar

from .heat import View, brain_in_frame, examine, in_frame, randomised, ratio
from .summary import summarise, table

#: Parts whose slices training did not learn from.
HELD_OUT = ("validation", "test", "external")
#: What is measured where the mask is of edema. Its pieces close a ring in 4 % of the slices of phe_sich, and what their
#: hull holds besides is brighter than they are (median 128 against 93 of 255): the blood.
WITH_BLOOD = f"convex hull of the {EDEMA}"
#: Slices that get deletion and insertion too, which cost more than all the rest.
REMOVALS = 60
#: Pictures that batch norm is measured on again once the weights are shuffled.
REMEASURED = 16


def explanation(
    model: nn.Module,
    config: ModelConfig,
    manifest: Manifest,
    split: Split | None,
    *,
    limit: int = 150,
    removals: int = REMOVALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every measure of a checkpoint's heat, as means with intervals over patients.

    At most `limit` slices, the sources taking turns; the first `removals` of them also by deletion and insertion.
    Raises DataError when training left no positive slice.
    """
    rng = np.random.default_rng(seed)
    chosen = selection(manifest, split, config.task, limit, rng)
    if not chosen:
        raise DataError("Explanations are checked on positive slices that training never saw, and there is none.")
    views = ((r, _view(manifest, r, config.preprocess)) for r in chosen)
    first = list(itertools.islice(views, REMEASURED))
    scrambled = randomised(model, [v.prepared.pixels for _, v in first], seed)
    scores = []
    for n, (record, view) in enumerate(itertools.chain(first, views)):
        index = 1 if config.task == "presence" else int(record.subtype or 0)
        scores.append(examine(model, scrambled, view, index, record, rng, n < removals))
        if progress is not None:
            progress(n + 1, len(chosen))
    outlined = {str(r.extra.get("mask_of", "lesion")) for r in chosen if "mask" in r.extra}
    return summarise(scores) | {"masks_of": sorted(WITH_BLOOD if of == EDEMA else of for of in outlined)}


def selection(manifest: Manifest, split: Split | None, task: str, limit: int, rng: np.random.Generator) -> list[Record]:
    """Slices with a lesion mask that training did not see, else positive ones; sources in turn, each in random order.

    An edema mask counts only where there is room for blood in its hull.
    """
    records = unseen(manifest, split)
    positive = [r for r in records if (r.presence == 1 if task == "presence" else r.subtype is not None)]
    pool = [r for r in positive if "mask" in r.extra] or positive
    by_source: dict[str, list[Record]] = defaultdict(list)
    for i in reversed(rng.permutation(len(pool))):
        by_source[pool[int(i)].source].append(pool[int(i)])

    def usable(rows: Sequence[Record]) -> Iterator[Record]:
        return (r for r in rows if "mask" not in r.extra or lesion_of(manifest, r) is not None)

    turns = itertools.zip_longest(*(usable(rows) for _, rows in sorted(by_source.items())))
    return list(itertools.islice((r for turn in turns for r in turn if r is not None), limit))


def unseen(manifest: Manifest, split: Split | None) -> list[Record]:
    """Records that training did not learn from; without a split those for evaluation only, or all where none is."""
    held_out = {path for part in HELD_OUT for path in (split.parts.get(part, ()) if split else ())}
    records = [r for r in manifest if r.evaluation_only or r.path in held_out]
    return records if records or split is not None else list(manifest)


def lesion_of(manifest: Manifest, record: Record) -> BoolArray | None:
    """(H, W) lesion on the slice's own pixels; the hull of edema, None where that holds nothing but edema.

    Raises DataError for a mask that cannot be read or has another size than its image.
    """
    marked = read_mask(manifest, record, (record.size[0], record.size[1]))
    if record.extra.get("mask_of") != EDEMA or not marked.any():
        return marked if marked.any() else None
    points = np.ascontiguousarray(np.argwhere(marked)[:, ::-1].astype(np.int32))
    hull = cv2.fillConvexPoly(np.zeros(marked.shape, np.uint8), cv2.convexHull(points), 1) > 0
    return np.asarray(hull) if (hull & ~marked).sum() >= LEAST_ENCLOSED else None


def _view(manifest: Manifest, record: Record, preprocess: Preprocess) -> View:
    image = open_image(manifest.file(record))
    prepared = preprocess.apply(image)
    lesion = lesion_of(manifest, record) if "mask" in record.extra else None
    return View(prepared, brain_in_frame(image, prepared), None if lesion is None else in_frame(lesion, prepared))


def phantom_ratios(folder: str | Path, seeds: Sequence[int] = (2, 3, 5, 6, 8)) -> dict[str, list[float]]:
    """Mean heat in a lesion over mean heat in the rest of the brain, on drawn heads with a bleed or an infarct."""
    predictor = strokenext.load(folder, device="cpu", kind="slice")
    kinds: tuple[Kind, ...] = ("hemorrhage", "infarct")
    ratios: dict[str, list[float]] = {k: [] for k in kinds}
    for kind in kinds:
        for seed in seeds:
            phantom = head_phantom(kind, size=256, seed=seed, level=0.4)
            heat = predictor.predict(phantom.as_slice(), force=True).heat
            if heat is not None:
                on_image = to_image(heat.total, heat.affine, heat.input_size, phantom.hu.shape)
                ratios[kind].append(ratio(on_image, phantom.lesion, phantom.brain) or float("nan"))
    return ratios


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training explain", description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True, help="checkpoint folder, bundled name or Hub id")
    p.add_argument("--manifest", type=Path, help="measure on its slices with lesion masks")
    p.add_argument("--split", type=Path, help="the split the model was trained on: its training part is left out")
    p.add_argument("--limit", type=int, default=150, help="slices at most (default: 150)")
    p.add_argument("--removals", type=int, default=REMOVALS, help=f"of them with deletion and insertion ({REMOVALS})")
    p.add_argument("--phantoms", action="store_true", help="heat ratio on ten drawn lesions, without any data")
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", type=Path, help="file for the figures, JSON")
    o = p.parse_args(argv)
    if not (o.manifest or o.phantoms):
        raise DataError("Give --manifest with lesion masks, or --phantoms for the drawn lesions.")
    folder, config = resolve(o.model)
    figures: dict[str, Any] = {"model": config.name, "weights_sha256": config.weights_sha256}
    if o.manifest:
        manifest, split = read_manifest(o.manifest), read_split(o.split) if o.split else None
        with progress_bar("explain") as progress:
            model = load_network(folder, config).to(o.device)
            figures["explanation"] = explanation(
                model, config, manifest, split, limit=o.limit, removals=o.removals, progress=progress
            )
        print(table(figures["explanation"]))
    if o.phantoms:
        figures["phantoms"] = phantom_ratios(folder)
        for kind, values in figures["phantoms"].items():
            print(f"{kind}: heat in the lesion {', '.join(f'{v:.2f}' for v in values)} times that in the rest")
    if o.out:
        write_file(o.out, json.dumps(plain(figures), indent=1) + "\n")
    return 0

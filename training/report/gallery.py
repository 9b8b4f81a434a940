"""The worst errors of a result with their heat maps, for a report that stays on the machine that holds the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from strokenext import load, overlay
from strokenext.errors import DataError
from strokenext.record.find import resolve
from training.data.images import open_image
from training.data.manifest import Manifest, read_manifest
from training.results.tree import Entry

from .section import Section

#: Side of a picture in pixels.
SIDE = 220


def galleries(entries: Sequence[Entry], manifest: Path | None, models: Sequence[str], count: int) -> list[Section]:
    """A section per result that a given checkpoint made. Raises DataError without manifest or model."""
    if manifest is None or not models:
        raise DataError("The gallery needs --manifest and --model, to draw the images and their heat maps.")
    data = read_manifest(manifest)
    checkpoints = {config.weights_sha256: folder for folder, config in map(resolve, models)}
    return [
        gallery(e, data, checkpoints[e.result.model["weights_sha256"]], count)
        for e in entries
        if e.result.model.get("weights_sha256") in checkpoints
    ]


def gallery(entry: Entry, manifest: Manifest, checkpoint: Path, count: int) -> Section:
    """The slices furthest on the wrong side of the threshold, each image beside its overlay."""
    result = entry.result
    p = result.predictions.probabilities(result.scale)
    wrong = np.where(result.predictions.labels == 1, result.model["threshold"] - p, p - result.model["threshold"])
    worst = [int(i) for i in np.argsort(-wrong, kind="stable")[:count] if wrong[i] > 0]
    predictor = load(checkpoint, task=result.model["task"], device="cpu", kind="slice")
    known, images = manifest.by_path(), []
    for i in worst:
        path = result.predictions.paths[i]
        if path not in known:
            raise DataError(f"The manifest does not know {path}; give the one that the result was made from.")
        image = open_image(manifest.file(known[path]))
        prediction = predictor.predict(image, force=True)
        pair = [overlay.render(image), overlay.render(image, prediction.heat)]
        picture = np.hstack([cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for x in pair])
        kind, source = result.predictions.kinds[i], result.predictions.sources[i]
        images.append((f"{kind}, {source}: probability {p[i]:.2f}", overlay.png(picture.astype(np.uint8))))
    text = (
        f"{len(worst)} of {int((wrong > 0).sum())} errors. These are images of patients: do not publish this page.",
    )
    return Section(f"Worst errors: {entry.title}, {entry.task}, {entry.where}", text, images=images)

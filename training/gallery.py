"""The worst errors of a result with their heat maps, for a report that stays on the machine that holds the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from strokenext.errors import DataError

from . import tables
from .prepare import open_image
from .records import Manifest, read_manifest
from .render import Section
from .results import Result

#: Side of a picture in pixels.
SIDE = 220


def galleries(results: Sequence[Result], manifest: Path | None, models: Sequence[str], count: int) -> list[Section]:
    """A section per StrokeNeXt result that a given checkpoint made. Raises DataError without manifest or model."""
    from strokenext.weights import load_config, resolve

    if manifest is None or not models:
        raise DataError("The gallery needs --manifest and --model, to draw the images and their heat maps.")
    data = read_manifest(manifest)
    checkpoints = {load_config(folder).weights_sha256: folder for folder in map(resolve, models)}
    return [
        gallery(r, data, checkpoints[r.model["weights_sha256"]], count)
        for r in results
        if r.model.get("weights_sha256") in checkpoints
    ]


def gallery(result: Result, manifest: Manifest, checkpoint: Path, count: int) -> Section:
    """The slices furthest on the wrong side of the threshold, each image beside its overlay."""
    import strokenext
    from strokenext import overlay

    p = result.predictions.probabilities(result.model["temperature"])
    wrong = np.where(result.predictions.labels == 1, result.model["threshold"] - p, p - result.model["threshold"])
    worst = [int(i) for i in np.argsort(-wrong, kind="stable")[:count] if wrong[i] > 0]
    predictor = strokenext.load(str(checkpoint), task=result.model["task"], device="cpu")
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
    return Section(
        f"Worst errors: {tables.title(result)}, {result.model['task']}, {tables.where(result)}", text, images=images
    )

"""What harmonising does to the sources: the brain's grey level in each, and how well a picture gives away its source.

Measured on pictures as they came (the brain window, whole) and on the same ones framed and levelled as the models
get them. A model can only learn the hospital from what is still there afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from strokenext.preprocess.contract import Framed, Preprocess
from strokenext.preprocess.head import brain_level

from .images import open_image
from .manifest import Manifest, Record

#: Slices of a source that are looked at, drawn by a seed.
SAMPLE = 100
#: Folds of the probe; a source takes part with four slices a fold and a group for each.
FOLDS = 5
#: As the models get a slice, but for the channels; and as the file shows it.
HARMONISED = Preprocess(size=128, frame="head", level=True)
AS_IT_IS = Preprocess(size=128, frame="square", level=False)
HEAD_ONLY = Preprocess(size=128, frame="head", level=False)
Numbers = NDArray[np.float64]


def harmony(manifest: Manifest, seed: int = 0) -> dict[str, Any]:
    """Per source the median brain level (grey 0..1) before and after, and the probe's balanced accuracy, JSON-able.

    `source_from_picture` is None when fewer than two sources are large enough. Its `chance` is 1 / sources.
    """
    chosen = _sample(manifest, seed)
    levels: dict[str, list[tuple[float, float]]] = defaultdict(list)
    before, after = [], []
    for r in chosen:
        image = open_image(manifest.file(r))
        head, done = HEAD_ONLY.framed(image), HARMONISED.framed(image)
        levels[r.source].append((brain_level(head.grey, head.head), brain_level(done.grey, done.head)))
        before.append(statistics(AS_IT_IS.framed(image)))
        after.append(statistics(done))
    table = {
        source: {"slices": len(v), "brain_before": _median(v, 0), "brain_after": _median(v, 1)}
        for source, v in sorted(levels.items())
    }
    return {"sources": table, "source_from_picture": _both(chosen, np.array(before), np.array(after), seed)}


def _sample(manifest: Manifest, seed: int) -> list[Record]:
    """At most SAMPLE records of each source, in the manifest's order."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for i, r in enumerate(manifest):
        by_source[r.source].append(i)
    rng = np.random.default_rng(seed)
    kept = [rng.choice(rows, min(SAMPLE, len(rows)), replace=False) for _, rows in sorted(by_source.items())]
    return [manifest.records[i] for i in sorted(np.concatenate(kept).tolist())]


def _median(pairs: Sequence[tuple[float, float]], place: int) -> float:
    """Median of the slices that show a brain at all."""
    levels = [p[place] for p in pairs if p[place] > 0]
    return round(float(np.median(levels)), 3) if levels else 0.0


def statistics(framed: Framed) -> Numbers:
    """(11,) what anyone could read off a picture without looking at the brain: levels, sharpness, grain, margins."""
    grey = framed.grey
    shown = grey[grey > 0.02]
    levels = np.percentile(shown, [5, 25, 50, 75, 95]) if shown.size else np.zeros(5)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 1.0)
    border = np.concatenate([grey[:4].ravel(), grey[-4:].ravel(), grey[:, :4].ravel(), grey[:, -4:].ravel()])
    soft = (grey > 0.2) & (grey < 0.8)
    grain = float(np.median(np.abs(fine[soft]))) if soft.any() else 0.0
    white, sharp = float((grey > 0.97).mean()), float(np.abs(fine).mean())
    rest = [shown.size / grey.size, white, sharp, grain, float(border.mean()), float(grey.std())]
    return np.array([*levels, *rest], dtype=np.float64)


def _both(chosen: Sequence[Record], before: Numbers, after: Numbers, seed: int) -> dict[str, Any] | None:
    names = np.array([r.source for r in chosen])
    groups = np.array([r.group or r.unit for r in chosen])
    sources, sizes = np.unique(names, return_counts=True)
    large = sources[sizes >= 4 * FOLDS].tolist()
    probed = [s for s in large if len(np.unique(groups[names == s])) >= FOLDS]
    if len(probed) < 2:
        return None
    rows = np.isin(names, probed)
    scores = [round(probe(x[rows], names[rows], groups[rows], seed), 3) for x in (before, after)]
    return {"sources": probed, "before": scores[0], "after": scores[1], "chance": round(1 / len(probed), 3)}


def probe(x: Numbers, names: NDArray[np.str_], groups: NDArray[np.str_], seed: int = 0) -> float:
    """Balanced accuracy of a logistic regression naming the source from (N, F) statistics, whole groups held out."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
    named = cross_val_predict(model, x, names, groups=groups, cv=folds)
    return float(balanced_accuracy_score(names, named))


def sentences(measured: Mapping[str, Any]) -> list[str]:
    """The measurements in words, one line each."""
    lines = [
        f"{name}: the brain's median grey level is {row['brain_before']:.2f}, levelled {row['brain_after']:.2f}"
        for name, row in measured["sources"].items()
    ]
    guessed = measured["source_from_picture"]
    if guessed:
        lines.append(
            f"A picture's simple statistics name its source with balanced accuracy {guessed['before']:.2f} as it came "
            f"and {guessed['after']:.2f} harmonised ({guessed['chance']:.2f} would be chance)."
        )
    return lines

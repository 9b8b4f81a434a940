"""The random-label control: what a model scores when there is nothing to learn but who is who.

A network trained and tested on permuted labels should answer at chance (AUROC 0.5). Two permutations:

- "images": the labels of all images are permuted among them. Nothing can be known about a test image, however
  leaky the split; a score above chance means that evaluation itself is wrong.
- "patients": whole patients (else near-duplicate groups) are permuted: all images of one get the one label that was
  drawn for it. A split that puts slices of one patient on both sides lets a network recognise the patient and score
  far above chance, as Yagis et al. found (96 %, Sci Rep 2021, s41598-021-01681-w); a grouped split does not.

Permuted are the labels of the TRAINING, VALIDATION AND TEST images of a split together, so that evaluation on the
test part asks for the labels the model could have memorised. Pass all of them, in any order; what is in no part
of the split keeps no label at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strokenext.errors import DataError


def random_labels(
    paths: Sequence[str], labels: Sequence[int] | NDArray[np.int64], seed: int, units: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """(N,) labels of these images, permuted by `seed`; the result does not depend on the order they come in.

    Without `units` the N labels are permuted among the images: each class keeps its count. With `units` (one name
    per image) every unit gets one label for all its images: units, in the order of their names, are permuted, and
    the first of them are class 1 and so on, as many as it takes to hold each class's share of the images.
    Raises DataError for a path that comes twice or lists of different lengths.
    """
    given = np.asarray(labels, dtype=np.int64)
    if len(set(paths)) != len(paths) or len(given) != len(paths) or (units is not None and len(units) != len(paths)):
        raise DataError("Random labels need every image once, with one label and one unit each.")
    rng = np.random.default_rng((seed, 0x1ABE1))
    order = np.argsort(np.asarray(paths))
    out = np.empty_like(given)
    if units is None:
        # Sorted labels: which image had which label is forgotten before anything is drawn.
        out[order] = rng.permutation(np.sort(given))
        return out
    names, place, sizes = np.unique(np.asarray(units), return_inverse=True, return_counts=True)
    drawn = rng.permutation(len(names))
    middle = (np.cumsum(sizes[drawn]) - sizes[drawn] / 2) / len(given)
    classes, counts = np.unique(given, return_counts=True)
    of_unit = np.empty(len(names), dtype=np.int64)
    last = len(classes) - 1
    of_unit[drawn] = classes[np.minimum(np.searchsorted(np.cumsum(counts) / len(given), middle, side="right"), last)]
    return of_unit[place]

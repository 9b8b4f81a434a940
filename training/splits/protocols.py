"""Protocols: a manifest to a split.

"image" is the paper's random image-level 80/10/10 (leaky where a patient has several slices, on purpose); "grouped"
keeps each patient and near-duplicate group whole; "kfold" is grouped, k folds; "patients" assigns the patients of each
source by a permutation, the split of the bundled models; "source" leaves one source out as the test part; "published"
takes the train/validation/test folders the data came in. Records that are for evaluation only (another hospital, a
licence) are in none of the three: they form the part "external".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from strokenext.errors import DataError
from training.data.manifest import Manifest, Record

from .assign import FRACTIONS, PATIENT_FRACTIONS, PATIENT_SEED, Fractions, assign_groups, assign_patients
from .split import Split

#: Protocols whose parts may share patients: the paper's, and whatever the data came in.
MAY_LEAK = ("image", "published")


def image_level(manifest: Manifest, task: str = "presence", seed: int = 0, fractions: Fractions = FRACTIONS) -> Split:
    """The paper's protocol: images drawn at random, each class alike. Slices of one patient fall on both sides."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[str]] = {p: [] for p in fractions}
    free, kept = _free(manifest.labelled(task), task)
    for label in (0, 1):
        paths = [r.path for r in free if r.label(task) == label]
        rng.shuffle(paths)
        edges = np.rint(np.cumsum([0.0, *fractions.values()]) * len(paths)).astype(int)
        for i, part in enumerate(fractions):
            parts[part] += paths[edges[i] : edges[i + 1]]
    return _split("image", task, seed, parts, kept, "images at random, the paper's protocol")


def grouped(manifest: Manifest, task: str = "presence", seed: int = 0, fractions: Fractions = FRACTIONS) -> Split:
    """80/10/10 of whole groups, stratified over source and label as nearly as whole groups allow."""
    free, kept = _free(manifest.labelled(task), task)
    parts = assign_groups(free, task, fractions, seed)
    return _split("grouped", task, seed, parts, kept, "whole patients and near-duplicate groups")


def kfold(manifest: Manifest, folds: int = 5, task: str = "presence", seed: int = 0) -> list[Split]:
    """k grouped splits: each group is tested once; the validation part of fold i is the test part of fold i + 1."""
    if folds < 3:
        raise DataError("Grouped folds need at least 3, one each for test and validation and one to train on.")
    free, kept = _free(manifest.labelled(task), task)
    if len({r.group for r in free}) < folds:
        raise DataError(f"There are fewer than {folds} groups; choose fewer folds.")
    folded = assign_groups(free, task, {str(i): 1 / folds for i in range(folds)}, seed)
    splits = []
    for i in range(folds):
        after = (i + 1) % folds
        train = [p for j in range(folds) if j not in (i, after) for p in folded[str(j)]]
        parts = {"train": train, "validation": folded[str(after)], "test": folded[str(i)]}
        splits.append(_split("kfold", task, seed, parts, kept, f"fold {i + 1} of {folds}, whole groups"))
    return splits


def patients(
    manifest: Manifest, task: str = "presence", seed: int = PATIENT_SEED, fractions: Fractions = PATIENT_FRACTIONS
) -> Split:
    """Whole patients of each source, assigned by a seeded permutation, the bundled models' split.

    It lists every record that may be trained on, labelled or not: backgrounds for simulated lesions come from slices
    that carry no label of the task. Near copies of another patient's slice go with the first of the two.
    """
    free, kept = _free(manifest.records, task)
    of_unit: dict[str, str] = {}
    for source in sorted({r.source for r in free}):
        of_unit |= assign_patients({r.unit for r in free if r.source == source}, seed, fractions)
    first: dict[str, str] = {}
    for r in free:
        first[r.group] = min(first.get(r.group, r.unit), r.unit)
    parts: dict[str, list[str]] = {p: [] for p in fractions}
    for r in free:
        parts[of_unit[first[r.group]]].append(r.path)
    return _split("patients", task, seed, parts, kept, "whole patients of each source, dealt by a permutation")


def leave_source_out(manifest: Manifest, source: str, task: str = "presence", seed: int = 0) -> Split:
    """Test: everything of one source. Train and validation: 90/10 of whole groups of the others, near duplicates of
    the tested source dropped."""
    tested = [r for r in manifest.labelled(task) if r.source == source]
    if not tested:
        raise DataError(f"No labelled image of source '{source}' is in the manifest.")
    there = {r.group for r in tested}
    free, _ = _free(manifest.labelled(task), task)
    others = [r for r in free if r.source != source and r.group not in there]
    if not others:
        raise DataError(f"Without '{source}' nothing is left to train on.")
    parts = assign_groups(others, task, {"train": 0.9, "validation": 0.1}, seed) | {"test": [r.path for r in tested]}
    return _split("source", task, seed, parts, [], f"tested on {source}, which training never sees")


def published(manifest: Manifest, task: str = "presence") -> Split:
    """The train/validation/test folders that the data came in, with the external ones as a part of their own."""
    parts: dict[str, list[str]] = {p: [] for p in FRACTIONS}
    kept = [r for r in manifest.labelled(task) if r.evaluation_only]
    for r in manifest.labelled(task):
        part = str(r.extra.get("part", ""))
        if part in parts and not r.evaluation_only:
            parts[part].append(r.path)
    if not parts["train"] or not parts["test"]:
        raise DataError("The data came in no train and test folders; choose another protocol.")
    return _split("published", task, 0, parts, kept, "the folders the data came in")


def _free(records: Sequence[Record], task: str) -> tuple[list[Record], list[Record]]:
    """Records that may be trained on, and labelled ones for evaluation only with whatever shares their group."""
    kept = {r.group for r in records if r.evaluation_only}
    free = [r for r in records if r.group not in kept]
    if not any(r.label(task) is not None for r in free):
        raise DataError(f"The manifest holds no image with a {task} label that may be trained on.")
    return free, [r for r in records if r.group in kept and r.label(task) is not None]


def _split(
    protocol: str, task: str, seed: int, parts: Mapping[str, Sequence[str]], external: Sequence[Record], about: str
) -> Split:
    together = {name: tuple(sorted(paths)) for name, paths in parts.items()}
    if external:
        together["external"] = tuple(sorted(r.path for r in external))
    return Split(protocol, task, seed, protocol not in MAY_LEAK, together, about)

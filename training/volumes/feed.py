"""The feed "volumes": a patient's slices in order, stacked to planes as for a user's series.

A patient bleeds when any slice does. With eighty patients that is little to learn from, so an example is also a part
of a head (its label follows from its own slices), or a normal head with a bleed simulated through neighbouring
slices; both are drawn from every source alike, so that the source tells nothing. Slices that the gate refuses are left
out here as they are for a user.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from strokenext.errors import DataError, OptionError
from strokenext.gate import check_scope
from strokenext.preprocess.planes import Planes
from strokenext.saving import write_file
from strokenext.types import BoolArray, Slice
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache, Row
from training.splits.random_labels import random_labels
from training.splits.split import Split
from training.train.feed import Batch, HeldOut, parts_of, shard
from training.train.recipe import Recipe

from .bleeds import longest_run
from .example import VolumeExample, augmented, plain, slices_of

#: Share of the normal examples that are the free part of a bleeding patient's head.
FREE_PARTS = 0.3


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient's head: `rows` of the cache that the gate accepts, from the feet to the head.

    `bleeds` is each slice's label, 1, 0, or -1 where nobody looked; `free` says that a slice may serve as free of
    lesions. `label` is the patient's: 1 with any positive slice, 0 when every slice is known to be normal, else -1.
    """

    unit: str
    source: str
    rows: tuple[int, ...]
    bleeds: tuple[int, ...]
    free: tuple[bool, ...]
    label: int

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def run(self) -> range:
        """The longest run of slices free of lesions."""
        return longest_run(self.free)


def patient_label(labels: Sequence[int | None], task: str) -> int:
    """The label rule: presence is 1 when any slice shows a stroke and 0 when every slice is known not to.

    A subtype is that of all slices with one; -1 where it is not known or not the same on all.
    """
    known = {label for label in labels if label is not None}
    if task == "presence":
        return 1 if 1 in known else 0 if known == {0} and None not in labels else -1
    return known.pop() if len(known) == 1 else -1


def accepted(cache: Cache) -> BoolArray:
    """(N,) the gate's verdict on every cached slice, kept beside the cache: looking takes a minute for thousands.

    It looks at the framed picture, which it judges as it checks the file itself (both cut the head out first).
    """
    about = json.dumps(dict(cache.about), sort_keys=True) + "".join(row.path for row in cache.rows)
    key = hashlib.sha256(about.encode()).hexdigest()
    name = getattr(cache.planes, "filename", None)
    file = None if name is None else Path(name).with_name("gate.json")
    if file is not None and file.is_file():
        stored = json.loads(file.read_text())
        if stored["cache"] == key:
            return np.array([c == "1" for c in stored["accepted"]])
    verdicts = np.array([check_scope(Slice(planes[0].astype(np.float32), "grey")).accepted for planes in cache.planes])
    if file is not None:
        write_file(file, json.dumps({"cache": key, "accepted": "".join("01"[int(v)] for v in verdicts)}))
    return verdicts


def patients_of(cache: Cache, split: Split, recipe: Recipe, least: int) -> dict[str, list[Patient]]:
    """The patients of each part, by name, with at least `least` slices that the gate accepts.

    Raises DataError where a patient is in two parts: half a head in training is no volume held back.
    """
    wanted, where = accepted(cache), parts_of(cache, split)
    together: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, (row, part) in enumerate(zip(cache.rows, where, strict=True)):
        if part and (not recipe.sources or row.source in recipe.sources):
            together[part, row.unit].append(i)
    units = [unit for _, unit in together]
    if len(set(units)) != len(units):
        raise DataError(
            f"The split '{split.protocol}' has slices of one patient in several parts; a volume is a whole patient. "
            "Make a split of whole patients: python -m training split --protocol patients."
        )
    patients: dict[str, list[Patient]] = defaultdict(list)
    for (part, unit), rows in sorted(together.items()):
        patient = _patient(cache, unit, rows, wanted, recipe)
        if len(patient) >= least:
            patients[part].append(patient)
    return _permuted(patients, recipe) if recipe.random_labels else patients


def _patient(cache: Cache, unit: str, rows: Sequence[int], wanted: BoolArray, recipe: Recipe) -> Patient:
    ordered = sorted(rows, key=lambda i: (cache.rows[i].slice, cache.rows[i].path))
    label = patient_label([cache.rows[i].label(recipe.task) for i in ordered], recipe.task)
    kept = tuple(i for i in ordered if wanted[i])
    slices = [cache.rows[i] for i in kept]

    def of(row: Row) -> int:
        value = row.label(recipe.task)
        return -1 if value is None else value

    free = tuple(row.lesion_free(recipe.away_negatives) for row in slices)
    return Patient(unit, cache.rows[ordered[0]].source, kept, tuple(map(of, slices)), free, label)


def _permuted(parts: dict[str, list[Patient]], recipe: Recipe) -> dict[str, list[Patient]]:
    """The control: patients' labels permuted, and nothing known about single slices."""
    known = [p for part in parts.values() for p in part if p.label >= 0]
    drawn = random_labels([p.unit for p in known], [p.label for p in known], recipe.seed)
    given = {p.unit: int(label) for p, label in zip(known, drawn, strict=True)}
    return {
        part: [
            replace(p, label=given[p.unit], bleeds=(given[p.unit],) * len(p), free=(given[p.unit] == 0,) * len(p))
            for p in patients
            if p.unit in given
        ]
        for part, patients in parts.items()
    }


class VolumesFeed:
    """Volumes by step, and whole patients held back."""

    def __init__(self, recipe: Recipe, cache: Cache, split: Split, device: torch.device) -> None:
        if recipe.mixture.infarct:
            raise OptionError("The volumes feed draws no infarcts; set infarct = 0 in the recipe's [mixture].")
        cache.require(SLICE_PLANES, recipe.frame, recipe.window)
        self.recipe, self.cache, self.device = recipe, cache, device
        self.planes = Planes(recipe.depth)
        self.patients = patients_of(cache, split, recipe, self.planes.least)
        train = self.patients.get("train", [])
        self.bleeding = _by_source([p for p in train if p.label == 1 and 1 in p.bleeds])
        self.normal = _by_source([p for p in train if all(p.free)])
        self.parts = _by_source([p for p in train if not all(p.free) and len(p.run) >= self.planes.least])
        if not self.bleeding or not (self.normal or self.parts):
            raise DataError("The training part needs patients with and without a bleed, of enough slices each.")
        self.images = len(train)

    def batches(self, first_step: int, last_step: int, *, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Steps first_step..last_step - 1; each example depends on the seed and its place alone."""
        for step in range(first_step, last_step):
            yield _batch([self.example(place) for place in shard(step, self.recipe.batch, rank, world)], self.device)

    def example(self, place: int) -> VolumeExample:
        """The example at a place of the run."""
        rng = np.random.default_rng((self.recipe.seed, place))
        share = self.recipe.mixture
        real = 0.0 if self.recipe.random_labels else share.bleed
        shares = np.array([share.normal, real, share.real_bleed])
        kind = int(rng.choice(3, p=shares / shares.sum()))
        patient, span = self._drawn(rng, kind)
        rows, bleeds = [patient.rows[i] for i in span], [patient.bleeds[i] for i in span]
        slices = slices_of(self.cache, rows, bleeds, [patient.free[i] for i in span])
        return augmented(rng, slices, self.recipe, self.planes, simulate=kind == 1)

    def held_out(self, part: str) -> HeldOut:
        """The patients of a part whose label is known, whole and as they are."""
        patients = [p for p in self.patients.get(part, []) if p.label >= 0]
        labels: NDArray[np.int64] = np.array([p.label for p in patients], dtype=np.int64)

        def draw(places: Sequence[int]) -> Batch:
            chosen = [patients[i] for i in places]
            pixels = [plain(slices_of(self.cache, p.rows, p.bleeds, p.free), self.recipe, self.planes) for p in chosen]
            x = torch.from_numpy(np.stack(pixels)).to(self.device)
            return Batch(x, torch.from_numpy(labels[list(places)]).to(self.device))

        names = tuple(p.unit for p in patients)
        return HeldOut(labels, tuple(p.source for p in patients), names, names, draw)

    def copies(self, part: str, augmentations: int, bleeds: int, seed: int) -> Iterator[tuple[str, VolumeExample]]:
        """Unit and example: each patient whole and augmented so many times, the normal ones with drawn bleeds too."""
        for number, patient in enumerate(p for p in self.patients.get(part, []) if p.label >= 0):
            slices = slices_of(self.cache, patient.rows, patient.bleeds, patient.free)
            none = np.zeros((2, 0, 0, 0), dtype=np.float32)
            yield patient.unit, VolumeExample(plain(slices, self.recipe, self.planes), patient.label, none, none)
            more = bleeds if patient.label == 0 else 0
            for copy in range(augmentations + more):
                rng = np.random.default_rng((seed, number, copy))
                yield patient.unit, augmented(rng, slices, self.recipe, self.planes, simulate=copy >= augmentations)

    def _drawn(self, rng: np.random.Generator, kind: int) -> tuple[Patient, list[int]]:
        """A patient and the places of the slices to take, ascending."""
        if kind == 2:
            patient = _pick(rng, self.bleeding)
            must = int(rng.choice(np.flatnonzero(np.array(patient.bleeds) == 1)))
            return patient, self._span(rng, range(len(patient)), must)
        partly = bool(self.parts) and (not self.normal or rng.random() < FREE_PARTS)
        patient = _pick(rng, self.parts if partly else self.normal)
        return patient, self._span(rng, patient.run, None)

    def _span(self, rng: np.random.Generator, run: range, must: int | None) -> list[int]:
        """All of the run, or a part of it that holds `must`; single slices are missing as in a real series."""
        count = len(run)
        if rng.random() < 0.5 and not self.recipe.random_labels:
            count = int(rng.integers(min(count, max(self.planes.least, round(0.4 * count))), count + 1))
        low = run.start if must is None else max(run.start, must - count + 1)
        high = run.stop - count if must is None else min(run.stop - count, must)
        start = int(rng.integers(low, high + 1))
        kept = [i for i in range(start, start + count) if i == must or rng.random() >= 0.06]
        return kept if len(kept) >= self.planes.least else list(range(start, start + count))


def _by_source(patients: Sequence[Patient]) -> list[list[Patient]]:
    """Patients of each source, so that every source is drawn as often."""
    return [[p for p in patients if p.source == s] for s in sorted({p.source for p in patients})]


def _pick(rng: np.random.Generator, pools: Sequence[Sequence[Patient]]) -> Patient:
    pool = pools[int(rng.integers(len(pools)))]
    return pool[int(rng.integers(len(pool)))]


def _batch(examples: Sequence[VolumeExample], device: torch.device) -> Batch:
    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(e, name) for e in examples])).to(device)

    labels = torch.tensor([e.label for e in examples], device=device)
    return Batch(stacked("pixels"), labels, dense=stacked("dense"), known=stacked("known"))

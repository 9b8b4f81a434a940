"""`python -m training split`: seeded split files. `audit` checks that nothing leaks between their parts.

Protocols: "image" is the paper's random image-level 80/10/10 (leaky where a patient has several slices, on purpose);
"grouped" keeps each patient and near-duplicate group whole; "kfold" is grouped, k folds; "patients" deals the patients
of each source by a permutation, the split of the bundled models; "source" leaves one source out as the test part;
"published" takes the train/validation/test folders the data came in. Records that are for evaluation only (another
hospital, a licence) are in none of the three: they form the part "external".
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strokenext.errors import DataError
from training.data.manifest import Manifest, Record, read_manifest

from .assign import FRACTIONS, PATIENT_FRACTIONS, PATIENT_SEED, Fractions, deal, roles

FORMAT = "strokenext-split/1"
PROTOCOLS = ("image", "grouped", "kfold", "patients", "source", "published")


@dataclass(frozen=True)
class Split:
    """Part names to paths of a manifest. `grouped` says whether a leak between parts is an error."""

    protocol: str
    task: str
    seed: int
    grouped: bool
    parts: Mapping[str, tuple[str, ...]]
    about: str = ""

    def part_of(self) -> dict[str, str]:
        """Path to part name."""
        return {path: part for part, paths in self.parts.items() for path in paths}

    def records(self, manifest: Manifest, part: str) -> tuple[Record, ...]:
        """The records of a part. Raises DataError for an unknown part or a path that the manifest does not know."""
        if part not in self.parts:
            raise DataError(f"The split has no part '{part}'. It has {', '.join(self.parts)}.")
        known = manifest.by_path()
        missing = [p for p in self.parts[part] if p not in known]
        if missing:
            raise DataError(f"The split names {missing[0]}, which the manifest does not. Make the split again.")
        return tuple(known[p] for p in self.parts[part])


def image_level(manifest: Manifest, task: str = "presence", seed: int = 0, fractions: Fractions = FRACTIONS) -> Split:
    """The paper's protocol: images drawn at random, each class alike. Slices of one patient fall on both sides."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[str]] = {p: [] for p in fractions}
    free, kept = _free(manifest, task)
    for label in (0, 1):
        paths = [r.path for r in free if r.label(task) == label]
        rng.shuffle(paths)
        edges = np.rint(np.cumsum([0.0, *fractions.values()]) * len(paths)).astype(int)
        for i, part in enumerate(fractions):
            parts[part] += paths[edges[i] : edges[i + 1]]
    return _made("image", task, seed, False, parts, kept, "images at random, the paper's protocol")


def grouped(manifest: Manifest, task: str = "presence", seed: int = 0, fractions: Fractions = FRACTIONS) -> Split:
    """80/10/10 of whole groups, stratified over source and label as nearly as whole groups allow."""
    free, kept = _free(manifest, task)
    parts = deal(free, task, fractions, seed)
    return _made("grouped", task, seed, True, parts, kept, "whole patients and near-duplicate groups")


def kfold(manifest: Manifest, folds: int = 5, task: str = "presence", seed: int = 0) -> list[Split]:
    """k grouped splits: each group is tested once; the validation part of fold i is the test part of fold i + 1."""
    if folds < 3:
        raise DataError("Grouped folds need at least 3, one each for test and validation and one to train on.")
    free, kept = _free(manifest, task)
    if len({r.group for r in free}) < folds:
        raise DataError(f"There are fewer than {folds} groups; choose fewer folds.")
    dealt = deal(free, task, {str(i): 1 / folds for i in range(folds)}, seed)
    found = []
    for i in range(folds):
        after = (i + 1) % folds
        train = [p for j in range(folds) if j not in (i, after) for p in dealt[str(j)]]
        parts = {"train": train, "validation": dealt[str(after)], "test": dealt[str(i)]}
        found.append(_made("kfold", task, seed, True, parts, kept, f"fold {i + 1} of {folds}, whole groups"))
    return found


def patients(
    manifest: Manifest, task: str = "presence", seed: int = PATIENT_SEED, fractions: Fractions = PATIENT_FRACTIONS
) -> Split:
    """Whole patients of each source dealt by a seeded permutation, the bundled models' split.

    It lists every record that may be trained on, labelled or not: backgrounds for simulated lesions come from slices
    that carry no label of the task. Near copies of another patient's slice go with the first of the two.
    """
    kept = {r.group for r in manifest if r.evaluation_only}
    free = [r for r in manifest if r.group not in kept]
    if not any(r.label(task) is not None for r in free):
        raise DataError(f"The manifest holds no image with a {task} label that may be trained on.")
    of_unit: dict[str, str] = {}
    for source in sorted({r.source for r in free}):
        of_unit |= roles({r.unit for r in free if r.source == source}, seed, fractions)
    first: dict[str, str] = {}
    for r in free:
        first[r.group] = min(first.get(r.group, r.unit), r.unit)
    parts: dict[str, list[str]] = {p: [] for p in fractions}
    for r in free:
        parts[of_unit[first[r.group]]].append(r.path)
    rest = [r for r in manifest.labelled(task) if r.group in kept]
    return _made("patients", task, seed, True, parts, rest, "whole patients of each source, dealt by a permutation")


def leave_source_out(manifest: Manifest, source: str, task: str = "presence", seed: int = 0) -> Split:
    """Test: everything of one source. Train and validation: 90/10 of whole groups of the others, near duplicates of
    the tested source dropped."""
    tested = [r for r in manifest.labelled(task) if r.source == source]
    if not tested:
        raise DataError(f"No labelled image of source '{source}' is in the manifest.")
    there = {r.group for r in tested}
    free, _ = _free(manifest, task)
    others = [r for r in free if r.source != source and r.group not in there]
    if not others:
        raise DataError(f"Without '{source}' nothing is left to train on.")
    parts = deal(others, task, {"train": 0.9, "validation": 0.1}, seed) | {"test": [r.path for r in tested]}
    return _made("source", task, seed, True, parts, [], f"tested on {source}, which training never sees")


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
    return _made("published", task, 0, False, parts, kept, "the folders the data came in")


def _free(manifest: Manifest, task: str) -> tuple[list[Record], list[Record]]:
    """Labelled records that may be trained on, and those for evaluation only with whatever shares their group."""
    labelled = manifest.labelled(task)
    kept = {r.group for r in labelled if r.evaluation_only}
    free = [r for r in labelled if r.group not in kept]
    if not free:
        raise DataError(f"The manifest holds no image with a {task} label that may be trained on.")
    return free, [r for r in labelled if r.group in kept]


def _made(
    protocol: str,
    task: str,
    seed: int,
    is_grouped: bool,
    parts: Mapping[str, Sequence[str]],
    kept: Sequence[Record],
    about: str,
) -> Split:
    together = {name: tuple(sorted(paths)) for name, paths in parts.items()}
    if kept:
        together["external"] = tuple(sorted(r.path for r in kept))
    return Split(protocol, task, seed, is_grouped, together, about)


def write_split(split: Split, file: str | Path) -> Path:
    """Write the split as JSON, through a temporary file."""
    target = Path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    values = {"format": FORMAT, **vars(split), "parts": {n: list(p) for n, p in split.parts.items()}}
    temporary = target.with_name(target.name + ".part")
    temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, target)
    return target


def read_split(file: str | Path) -> Split:
    """Read what `write_split` wrote. Raises DataError when it is absent or of another format."""
    source = Path(file)
    if not source.is_file():
        raise DataError(f"There is no split file at {source}. Write one with: python -m training split.")
    try:
        values = json.loads(source.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise KeyError("format")
        return replace(Split(**values), parts={n: tuple(p) for n, p in values["parts"].items()})
    except (ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{source} is not a {FORMAT} file. Make the split again.") from problem


def summary(manifest: Manifest, split: Split) -> str:
    """One line per part: images, groups and positives; a training part of one class is pointed out."""
    lines = [f"{split.protocol} split for {split.task}, seed {split.seed}: {split.about}"]
    for part in split.parts:
        rows = [r for r in split.records(manifest, part) if r.label(split.task) is not None]
        positives, groups = sum(r.label(split.task) or 0 for r in rows), len({r.group for r in rows})
        lines.append(f"  {part:11s}{len(rows):6d} images  {groups:5d} groups  {positives:6d} positive")
        if part == "train" and positives in (0, len(rows)):
            lines.append("  NOTE: the training part holds one class only; simulated lesions must bring the other.")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training split", description=__doc__.splitlines()[0])
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--protocol", choices=PROTOCOLS, default="grouped")
    p.add_argument("--task", choices=("presence", "subtype"), default="presence")
    p.add_argument("--seed", type=int, help=f"default 0; {PATIENT_SEED} for protocol patients")
    p.add_argument("--fractions", type=_fractions, metavar="TRAIN,VALIDATION,TEST",
                   help="shares of the parts; default 0.8,0.1,0.1, for patients 0.7,0.12,0.18")  # fmt: skip
    p.add_argument("--folds", type=int, default=5, help="for kfold; writes OUT with the fold number before its suffix")
    p.add_argument("--source", help="the source to leave out, for protocol source")
    p.add_argument("--out", type=Path, required=True, help="the split file, JSON")
    return p


def _fractions(text: str) -> dict[str, float]:
    """ "0.8,0.1,0.1" to the share of each part."""
    try:
        shares = dict(zip(FRACTIONS, map(float, text.split(",")), strict=True))
    except ValueError as problem:
        raise argparse.ArgumentTypeError("three numbers with commas between them, such as 0.8,0.1,0.1") from problem
    if min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise argparse.ArgumentTypeError("the three shares must be above 0 and add up to 1")
    return shares


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    o = parser().parse_args(argv)
    manifest = read_manifest(o.manifest)
    seed = o.seed if o.seed is not None else PATIENT_SEED if o.protocol == "patients" else 0
    shares = {"fractions": o.fractions} if o.fractions else {}
    if shares and o.protocol not in ("image", "grouped", "patients"):
        raise DataError(f"The protocol '{o.protocol}' has shares of its own; leave --fractions away.")
    if o.protocol == "kfold":
        splits = kfold(manifest, o.folds, o.task, seed)
        files = [o.out.with_name(f"{o.out.stem}_{i}{o.out.suffix}") for i in range(len(splits))]
    else:
        if o.protocol == "source" and not o.source:
            raise DataError("Name the source to leave out: --source NAME.")
        one = {
            "image": lambda: image_level(manifest, o.task, seed, **shares),
            "grouped": lambda: grouped(manifest, o.task, seed, **shares),
            "patients": lambda: patients(manifest, o.task, seed, **shares),
            "source": lambda: leave_source_out(manifest, o.source, o.task, seed),
            "published": lambda: published(manifest, o.task),
        }[o.protocol]()
        splits, files = [one], [o.out]
    for split, file in zip(splits, files, strict=True):
        print(summary(manifest, split))
        print(f"  written to {write_split(split, file)}")
    return 0

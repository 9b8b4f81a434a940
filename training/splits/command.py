"""`python -m training split`: seeded split files. `audit` checks that nothing leaks between their parts.

The protocols are described where they are made, in `protocols`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from strokenext.errors import DataError
from training.data.manifest import Manifest, read_manifest

from .assign import FRACTIONS, PATIENT_SEED
from .protocols import grouped, image_level, kfold, leave_source_out, patients, published
from .split import Split, write_split

#: Protocol to the splits that it makes of a manifest with the command's flags and the seed and fractions given.
PROTOCOLS: dict[str, Callable[[Manifest, argparse.Namespace, dict[str, Any]], list[Split]]] = {
    "image": lambda m, o, given: [image_level(m, o.task, **given)],
    "grouped": lambda m, o, given: [grouped(m, o.task, **given)],
    "kfold": lambda m, o, given: kfold(m, o.folds, o.task, **given),
    "patients": lambda m, o, given: [patients(m, o.task, **given)],
    "source": lambda m, o, given: [leave_source_out(m, o.source, o.task, **given)],
    "published": lambda m, o, given: [published(m, o.task)],
}


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
    p.add_argument(
        "--fractions",
        type=_fractions,
        metavar="TRAIN,VALIDATION,TEST",
        help="shares of the parts; default 0.8,0.1,0.1, for patients 0.7,0.12,0.18",
    )
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
        raise DataError(f"The protocol '{o.protocol}' has shares of its own; omit --fractions.")
    if o.protocol == "source" and not o.source:
        raise DataError("Name the source to leave out: --source NAME.")
    splits = PROTOCOLS[o.protocol](manifest, o, {"seed": seed, **shares})
    numbered = [o.out.with_name(f"{o.out.stem}_{i}{o.out.suffix}") for i in range(len(splits))]
    files = numbered if o.protocol == "kfold" else [o.out]
    for split, file in zip(splits, files, strict=True):
        print(summary(manifest, split))
        print(f"  written to {write_split(split, file)}")
    return 0

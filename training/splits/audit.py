"""`python -m training audit`: what the parts of a split share. Exit code 1 when a grouped split shares anything.

Patients, groups and files are compared by the manifest. Near duplicates are looked for afresh, not taken from the
manifest's groups: hashes give the candidates, and the pixels of those are compared again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from strokenext.types import FloatArray
from training.data.duplicates import CORRELATION, HASH_DISTANCE, fingerprint
from training.data.images import open_image
from training.data.manifest import Manifest, Record, read_manifest

from .split import Split, read_split

_KEYS: dict[str, Callable[[Record], str | None]] = {
    "paths": lambda r: r.path,
    "patients": lambda r: r.patient,
    "groups": lambda r: r.group,
    "identical files": lambda r: r.sha256,
}


@dataclass(frozen=True)
class Leak:
    """How much two parts share, by kind, with one example of each kind that they do share."""

    first: str
    second: str
    shared: Mapping[str, int]
    examples: Mapping[str, str]

    @property
    def leaks(self) -> bool:
        """Whether anything at all is shared."""
        return any(self.shared.values())


def audit(manifest: Manifest, split: Split, pixels: bool = True) -> list[Leak]:
    """What every two parts share, zero or not. Without `pixels`, near duplicates are not looked for."""
    members = {part: split.records(manifest, part) for part in split.parts}
    leaks: list[Leak] = []
    thumbs: dict[str, FloatArray] = {}
    for first, second in combinations(members, 2):
        pairs = {what: _sharing(key, members[first], members[second]) for what, key in _KEYS.items()}
        if pixels:
            pairs["near duplicates"] = near_across(manifest, members[first], members[second], thumbs)
        shared = {what: len(paths) for what, paths in pairs.items()}
        examples = {what: " and ".join(paths[0]) for what, paths in pairs.items() if paths}
        leaks.append(Leak(first, second, shared, examples))
    return leaks


def _sharing(
    key: Callable[[Record], str | None], first: Sequence[Record], second: Sequence[Record]
) -> list[tuple[str, str]]:
    """A pair of paths, one of each part, for every key that both parts hold, in the keys' order."""
    a, b = ({k: r.path for r in rows if (k := key(r))} for rows in (first, second))
    return [(a[k], b[k]) for k in sorted(a.keys() & b.keys())]


def near_across(
    manifest: Manifest, first: Sequence[Record], second: Sequence[Record], thumbs: dict[str, FloatArray]
) -> list[tuple[str, str]]:
    """Pairs of paths, one of each part, whose pixels are near duplicates; `thumbs` keeps what was opened."""
    a, b = (np.array([int(r.phash or "0", 16) for r in rows], np.uint64) for rows in (first, second))
    candidates = [
        (first[i], second[j])
        for i in range(len(a))
        for j in np.flatnonzero(np.bitwise_count(a[i] ^ b) <= HASH_DISTANCE).tolist()
        if first[i].path != second[j].path
    ]
    for r in chain.from_iterable(candidates):
        if r.path not in thumbs:
            thumbs[r.path] = fingerprint(open_image(manifest.file(r))).thumb
    pairs = [(r.path, other.path) for r, other in candidates]
    return [(p, q) for p, q in pairs if float(thumbs[p] @ thumbs[q]) >= CORRELATION]


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training audit", description=__doc__.splitlines()[0])
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("splits", type=Path, nargs="+", help="split files")
    p.add_argument("--no-pixels", action="store_true", help="compare the manifest only, open no image")
    return p


def main(argv: Sequence[str]) -> int:
    """Print what leaks. Returns 1 when a grouped split does, else 0."""
    options = parser().parse_args(argv)
    manifest = read_manifest(options.manifest)
    failed = False
    for file in options.splits:
        split = read_split(file)
        print(f"{file}: {split.protocol} split, {'must not leak' if split.grouped else 'may leak by design'}")
        for leak in audit(manifest, split, not options.no_pixels):
            failed |= leak.leaks and split.grouped
            print(f"  {leak.first} / {leak.second}: " + ", ".join(f"{n} {what}" for what, n in leak.shared.items()))
            for what, example in leak.examples.items():
                print(f"    {what}, for instance {example}")
    print("LEAK: a grouped split shares cases between its parts." if failed else "No grouped split leaks.")
    return int(failed)

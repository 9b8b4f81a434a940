"""`python -m training cache`: the slices of a manifest, decoded and framed once, in one memory-mapped array file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from strokenext.preprocess.contract import FRAMES
from training.cache.planes import SLICE_PLANES
from training.cache.store import build
from training.data.manifest import read_manifest
from training.systems import SYSTEMS
from training.terminal import progress_bar


def parser() -> argparse.ArgumentParser:
    """The command's flags: one for every system with planes of its own."""
    own = [s.planes for s in SYSTEMS if s.planes.flag]
    usual = SLICE_PLANES.framing
    p = argparse.ArgumentParser(prog="python -m training cache", description=main.__doc__)
    p.add_argument("manifest", type=Path, help="manifest.jsonl written by `python -m training prepare`")
    p.add_argument("folder", type=Path, help="where the cache goes; about 250 kB a slice at 224 pixels")
    sizes = "".join(f"; {planes.framing.size} for {planes.flag}" for planes in own)
    frames = "".join(f"; {planes.framing.frame} for {planes.flag}" for planes in own)
    p.add_argument("--size", type=int, help=f"side of a cached slice in pixels, {usual.size}{sizes}")
    p.add_argument("--frame", choices=FRAMES, help=f"as in the recipe: {usual.frame}{frames}")
    p.add_argument("--window", type=float, nargs=2, default=usual.window, metavar=("WIDTH", "LEVEL"), help="in HU")
    p.set_defaults(planes=SLICE_PLANES)
    for planes in own:
        p.add_argument(f"--{planes.flag}", dest="planes", action="store_const", const=planes, help=planes.about)
    return p


def main(argv: Sequence[str]) -> int:
    """Decode, frame and store every slice of a manifest once. Returns 0."""
    o = parser().parse_args(argv)
    usual = o.planes.framing
    framing = replace(usual, size=o.size or usual.size, window=tuple(o.window), frame=o.frame or usual.frame)
    with progress_bar("cache") as progress:
        cache = build(read_manifest(o.manifest), o.folder, o.planes, framing, progress)
    units = len({r.unit for r in cache.rows})
    how = f"{framing.size} pixels, frame {framing.frame}"
    print(f"{len(cache.rows)} slices of {units} patients or groups, {how}, in {o.folder}")
    return 0

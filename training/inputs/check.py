"""What is said of pictures unlike the training ones: `python -m training inputs`.

Reads the manifest, the split and the shared data, writes results/inputs.json (figures only). Four questions, on test
patients and on sources that neither the models nor what is measured here were trained on: of which pictures do the
validation figures speak, do decisions that another window changes carry a caution, does a model answer the same after a
crop, a page, a compression, a camera, and is a turned head found.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from strokenext.errors import NotFoundError
from strokenext.gate import check_scope
from strokenext.io.read import read_series
from strokenext.loader import load
from strokenext.saving import write_file
from strokenext.slice.predictor import Predictor
from strokenext.types import Slice
from training.data.images import open_image
from training.data.manifest import Manifest, Record, read_manifest
from training.drawing.phantom.head import head_phantom
from training.gate.check import RESULTS, SHARED, Rate
from training.splits.held_out import records_of
from training.splits.split import Split, read_split

from .exported import exported
from .familiar import experience
from .measures import Area, changed, likeness, turns, warned

#: A line of a table.
Row = Rate | Area
#: Slices of a part that are looked at, evenly spaced; drawn heads of each kind and height.
SLICES, SEEDS, LEVELS = 240, 3, (0.4, 0.6)
AWAY = 3
SERIES = ("ischemic_series", "ge_head_series")
#: Patients of the public sets that lie upside down in their pictures, seen by eye; half of MBH does, and is left out.
UPSIDE_DOWN = ("phe_sich/0144",)


def pictures(manifest: Manifest, records: Sequence[Record], most: int = SLICES) -> Iterator[tuple[Record, Slice]]:
    """Slices that the gate accepts, evenly spaced over the records."""
    for record in records[:: max(1, -(-len(records) // most))]:
        image = open_image(manifest.file(record))
        if check_scope(image).accepted:
            yield record, image


def series(root: Path) -> dict[str, list[Slice]]:
    """The slices with HU: two DICOM series and drawn heads, as far as the gate accepts them."""
    found = {f"DICOM {name}": list(read_series(root / "dicom" / name)) for name in SERIES}
    found["drawn heads"] = [
        head_phantom(kind, seed=seed, level=level).as_slice()
        for kind in ("normal", "hemorrhage", "infarct")
        for seed in range(SEEDS)
        for level in LEVELS
    ]
    return {name: [image for image in images if check_scope(image).accepted] for name, images in found.items()}


def measured(manifest: Manifest, split: Split, root: Path, models: Sequence[Predictor]) -> dict[str, list[Row]]:
    """All tables by their name."""
    test = list(pictures(manifest, records_of(manifest, split, "test", AWAY)))
    unseen = list(pictures(manifest, split.records(manifest, "external")))
    with_hu = series(root)
    known = models[0].config.experience
    if known is None:
        raise NotFoundError(f"The record of {models[0].name} holds no experience. Finish the model anew.")
    everything, parts = [*test, *unseen], ("train", "validation")
    by_source = {s: [i for r, i in everything if r.source == s] for s in sorted({r.source for r, _ in everything})}
    tables: dict[str, list[Row]] = {"known": list(likeness(known, by_source, with_hu)), "left out": []}
    for source in sorted({r.source for r, _ in test}):
        train, check = ([r for r in records_of(manifest, split, p, AWAY) if r.source != source] for p in parts)
        left = experience(manifest, train, check)
        if left is not None:
            inside = {s: images for s, images in by_source.items() if s in {r.source for r, _ in test}}
            tables["left out"] += likeness(left, inside, {}, title=f"{source} left out: ")
    tables["windows"] = [*warned(models, by_source), *changed(models, with_hu)]
    tables["exported"] = list(exported(models, by_source))
    upright = [(r, i) for r, i in (*test, *unseen) if r.source != "mbh" and r.unit not in UPSIDE_DOWN]
    tables["turned"] = list(turns(upright))
    return tables


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0. Raises NotFoundError without the data."""
    p = argparse.ArgumentParser(prog="python -m training inputs", description=__doc__.splitlines()[0])
    p.add_argument("--manifest", type=Path, required=True)
    p.add_argument("--split", type=Path, required=True, help="the split the bundled presence model was trained on")
    p.add_argument("--data", type=Path, default=SHARED, help="folder with dicom/")
    p.add_argument("--models", nargs=2, default=(None, None), help="presence and subtype, for the bundled ones")
    p.add_argument("--out", type=Path, default=RESULTS.with_name("inputs.json"), help="where the figures are written")
    o = p.parse_args(argv)
    if not o.data.is_dir():
        raise NotFoundError(f"The shared data are not at {o.data}; name them with --data.")
    named = zip(o.models, ("presence", "subtype"), strict=True)
    models = [load(name, task=task, device="cpu", kind="slice") for name, task in named]
    tables = measured(read_manifest(o.manifest), read_split(o.split), o.data, models)
    record = {name: [rate.record() for rate in rates] for name, rates in tables.items()}
    o.out.parent.mkdir(parents=True, exist_ok=True)
    write_file(o.out, json.dumps(record, indent=1) + "\n")
    for name, rates in tables.items():
        print(f"\n{name}", *(f"{r.row()} {r.codes or ''}" for r in rates), sep="\n")
    return 0

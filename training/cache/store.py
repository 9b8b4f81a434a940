"""`python -m training cache`: the slices of a manifest, decoded and framed once, in one memory-mapped array file.

A folder of three files: planes.npy (N, P, S, S) uint8, rows.jsonl with one line per slice, cache.json with how it was
made. Training resamples, draws lesions and augments from it. An interrupted build goes on where it stopped; the
folder counts as a cache only once cache.json is there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from strokenext.errors import DataError
from strokenext.preprocess.contract import FRAMES, Preprocess
from strokenext.preprocess.head import SKULL_SHARE, filled
from strokenext.types import BoolArray, ByteArray, Slice, Window
from strokenext.windows import grey01
from training.data.images import open_image, read_mask
from training.data.manifest import Manifest, Record, digest, read_manifest
from training.drawing.brain import brain_depth

from .hematoma import derive_hematoma

FORMAT = "strokenext-cache/2"
#: Side of a cached slice in pixels; training resamples from it to its own size.
CACHE_SIZE = 224
#: Cached before levelling, so that bone is still where its window put it.
FRAMING = Preprocess(size=CACHE_SIZE, frame="head", level=False, channels="stroke")
#: Planes of the cache: grey 0..255; distance to the brain's edge in pixels; 255 well inside the head;
#: annotated blood; pixels whose label is not known.
PLANES = ("grey", "depth", "inner", "blood", "ignore")
#: A slice with less brain than this share of its frame carries no simulated lesion.
MIN_BRAIN = 0.18
#: An oedema outline that encloses fewer pixels is an open rim: where the blood is, is not known.
LEAST_ENCLOSED = 20

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """One cached slice. `unit` is its patient, else its near-duplicate group; `brain` the brain's share of the frame.

    `presence` and `subtype` as in the manifest, None where nobody looked; `away` counts slices to the nearest
    annotated one of the same patient, -1 where that means nothing; `slice` is -1 where the source has no number.
    """

    path: str
    source: str
    unit: str
    group: str
    presence: int | None
    subtype: int | None
    brain: float
    types: str = ""
    slice: int = -1
    away: int = -1
    evaluation_only: bool = False

    def label(self, task: str) -> int | None:
        """0, 1 or None for "presence" or "subtype"."""
        return self.presence if task == "presence" else self.subtype

    def lesion_free(self, away: int = 0) -> bool:
        """Labelled normal, or not labelled and at least `away` slices from an annotated one (0: labelled only)."""
        return self.presence == 0 or (self.presence is None and 0 < away <= self.away)


@dataclass(frozen=True, eq=False)
class Cache:
    """Rows, their planes (N, P, S, S) uint8, memory-mapped, and how they were framed."""

    rows: tuple[Row, ...]
    planes: ByteArray
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of a cached slice in pixels."""
        return int(self.planes.shape[-1])

    def where(self, **wanted: object) -> list[int]:
        """Indices of the rows whose fields all equal what is asked for."""
        return [i for i, r in enumerate(self.rows) if all(getattr(r, k) == v for k, v in wanted.items())]

    def require(self, frame: str, window: tuple[float, float]) -> None:
        """Raise DataError unless the slices were framed this way and HU went through this window."""
        masks = "--masks " if "hematoma" in self.about.get("planes", ()) else ""
        for name, wanted in (("frame", frame), ("window", list(window))):
            got = self.about.get(name, wanted)
            if got != wanted:
                given = wanted if name == "frame" else " ".join(f"{v:g}" for v in window)
                raise DataError(
                    f"The recipe wants {name} {wanted} and the cache holds {got}. "
                    f"Build one for it: python -m training cache MANIFEST FOLDER {masks}--{name} {given}."
                )

    def require_manifest(self, manifest: Manifest) -> None:
        """Raise DataError unless this is the cache of that very manifest, its labels among it."""
        here = digest(manifest)
        if self.about.get("manifest", here) != here:
            raise DataError(
                "The cache was made of another manifest (prepared again, or other labels). Build it again: "
                "python -m training cache MANIFEST FOLDER."
            )


def planes_of(
    image: Slice, blood: BoolArray | None = None, ignore: BoolArray | None = None, framing: Preprocess = FRAMING
) -> ByteArray:
    """(P, S, S) uint8 of one slice; masks are in the slice's own pixels."""
    framed, size = framing.framed(image), framing.size
    depth = brain_depth(framed)
    distance = cv2.distanceTransform(np.pad(framed.head, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inner = distance > SKULL_SHARE * float(distance.max(initial=0))
    out = np.zeros((len(PLANES), size, size), dtype=np.uint8)
    out[0] = np.rint(framed.grey * 255)
    out[1] = np.clip(np.rint(depth), 0, 255)
    out[2] = inner * np.uint8(255)
    for plane, mask in ((3, blood), (4, ignore)):
        if mask is not None:
            turned = cv2.warpAffine(mask.astype(np.uint8) * 255, framed.affine, (size, size), flags=cv2.INTER_LINEAR)
            out[plane] = turned
    return out


def annotation(manifest: Manifest, record: Record, image: Slice) -> tuple[BoolArray | None, BoolArray | None]:
    """Where a slice's blood is and where its label is not known, both (H, W) or None for nowhere.

    Oedema masks outline what surrounds the blood: the blood is what they enclose or, beside an open rim, what
    `derive_hematoma` finds; the oedema itself is left open. A lesion without a mask teaches its class only, nothing
    of it is known by pixel. Masks of infarcts are kept for evaluation alone.
    """
    if not record.presence:
        return None, None
    shape = image.shape
    nowhere = np.ones(shape, dtype=bool)
    of, name = record.extra.get("mask_of", "blood" if record.subtype else "infarct"), record.extra.get("mask")
    if not name or (of == "infarct" and not record.evaluation_only):
        return None, nowhere
    mask = read_mask(manifest, record, shape)
    if not mask.any():  # a rim of one pixel may vanish in a copy made smaller: nothing is known then
        return None, nowhere
    if of != "perihematomal edema":
        return mask, None
    derived = derive_hematoma(grey01(image, Window(80, 40)), mask)
    if derived is not None:
        return derived.blood, mask | derived.unclear
    blood = filled(mask) & ~mask
    return (blood, mask) if blood.sum() >= LEAST_ENCLOSED else (None, nowhere)


def row_of(manifest: Manifest, record: Record, framing: Preprocess) -> tuple[Row, ByteArray]:
    """A record's row and planes. Raises StrokeNeXt errors for a file that can no longer be read."""

    image = open_image(manifest.file(record))
    blood, ignore = annotation(manifest, record, image)
    planes = planes_of(image, blood, ignore, framing)
    upright = planes if framing.frame == "head" else planes_of(image)
    extra = record.extra
    row = Row(record.path, record.source, record.unit, record.group, record.presence, record.subtype,
              round(float((upright[1] > 0).mean()), 6), str(extra.get("types", "")), int(extra.get("slice", -1)),
              int(extra.get("away", -1)), record.evaluation_only)  # fmt: skip
    return row, planes


def build(
    manifest: Manifest, folder: Path, framing: Preprocess = FRAMING, progress: Progress | None = None,
    names: Sequence[str] = PLANES, make: Callable[..., tuple[Row, ByteArray]] | None = None,
) -> Cache:  # fmt: skip
    """Write the cache of a manifest into `folder` and open it; a whole one made the same way is opened as it is.

    `make` gives a record's row and planes, called `names`; by default `row_of` with PLANES.
    """
    about = {"format": FORMAT, "manifest": digest(manifest), "frame": framing.frame, "window": list(framing.window),
             "size": framing.size, "planes": list(names), "rows": len(manifest)}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    done, begun = folder / "cache.json", folder / "cache.part.json"
    if done.is_file() and json.loads(done.read_text()) == about:
        return open_cache(folder)
    done.unlink(missing_ok=True)
    planes, rows = folder / "planes.npy", folder / "rows.jsonl"
    goes_on = begun.is_file() and json.loads(begun.read_text()) == about and planes.is_file() and rows.is_file()
    finished = rows.read_text(encoding="utf-8").splitlines(keepends=True) if goes_on else []
    finished = [line for line in finished if line.endswith("\n")]
    shape = (len(manifest), len(names), framing.size, framing.size)
    stack = np.lib.format.open_memmap(planes, "r+" if goes_on else "w+", np.uint8, shape)
    rows.write_text("".join(finished), encoding="utf-8")
    begun.write_text(json.dumps(about))
    with rows.open("a", encoding="utf-8") as lines:
        for i in range(len(finished), len(manifest)):
            row, stack[i] = (make or row_of)(manifest, manifest.records[i], framing)
            lines.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            if progress is not None:
                progress(i + 1, len(manifest))
    stack.flush()
    os.replace(begun, done)
    return open_cache(folder)


def open_cache(folder: Path) -> Cache:
    """The cache that `build` wrote. Raises DataError when it is absent, unfinished or of another format."""
    try:
        about = json.loads((folder / "cache.json").read_text(encoding="utf-8"))
        lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        rows = tuple(Row(**json.loads(line)) for line in lines)
        planes = np.load(folder / "planes.npy", mmap_mode="r")
    except (OSError, ValueError, TypeError) as problem:
        raise DataError(
            f"There is no whole cache in {folder}. Write or finish one with: python -m training cache."
        ) from problem
    if about.get("format") != FORMAT or len(rows) != len(planes):
        raise DataError(f"{folder} is not a {FORMAT} cache. Build it again.")
    return Cache(rows, planes, about)


def main(argv: Sequence[str]) -> int:
    """Decode, frame and store every slice of a manifest once. Returns 0."""
    from training.segment.planes import MASK_FRAMING, MASK_PLANES, mask_row
    from training.terminal import progress_bar

    p = argparse.ArgumentParser(prog="python -m training cache", description=main.__doc__)
    p.add_argument("manifest", type=Path, help="manifest.jsonl written by `python -m training prepare`")
    p.add_argument("folder", type=Path, help="where the cache goes; about 250 kB a slice at 224 pixels")
    p.add_argument(
        "--size", type=int, help=f"side of a cached slice in pixels, {CACHE_SIZE}; {MASK_FRAMING.size} for masks"
    )
    p.add_argument("--frame", choices=FRAMES, help=f"as in the recipe: head; {MASK_FRAMING.frame} for masks")
    p.add_argument("--window", type=float, nargs=2, default=FRAMING.window, metavar=("WIDTH", "LEVEL"), help="in HU")
    p.add_argument("--masks", action="store_true", help="what is known pixel by pixel, for segmentation")
    o = p.parse_args(argv)
    usual, names, make = (MASK_FRAMING, MASK_PLANES, mask_row) if o.masks else (FRAMING, PLANES, row_of)
    window = (o.window[0], o.window[1])
    framing = replace(usual, size=o.size or usual.size, window=window, frame=o.frame or usual.frame)
    with progress_bar("cache") as progress:
        cache = build(read_manifest(o.manifest), o.folder, framing, progress, names, make)
    units = len({r.unit for r in cache.rows})
    about = f"{framing.size} pixels, frame {framing.frame}"
    print(f"{len(cache.rows)} slices of {units} patients or groups, {about}, in {o.folder}")
    return 0

"""Framed slices in one cached array file, and the batches that training draws from it.

Decoding, finding the head and framing happen once; every epoch then only resamples, draws lesions and
degrades. Each example depends on (seed, step, place in the batch) alone, so an interrupted run that is
resumed sees the same examples.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from strokenext.head import SKULL_SHARE
from strokenext.preprocess import Framed, Preprocess
from strokenext.types import BoolArray, ByteArray, FloatArray, Slice

#: Side of a cached slice in pixels; training resamples from it to its own size.
CACHE_SIZE = 224
#: Cached before levelling, so that bone is still where its window put it.
FRAMING = Preprocess(size=CACHE_SIZE, frame="head", level=False, channels="stroke")
#: Planes of the cache: grey 0..255; distance to the brain's edge in pixels; 255 well inside the head;
#: annotated blood; pixels whose label is not known.
PLANES = ("grey", "depth", "inner", "blood", "ignore")
#: Bone fills everything above this level of the brain window.
BONE = 0.93
#: Share of the brain's outline that must lie at bone.
ENCLOSED = 0.8
#: A slice with less brain than this share of its frame carries no simulated lesion.
MIN_BRAIN = 0.18


@dataclass(frozen=True)
class Row:
    """One cached slice: hemorrhage 1, 0, or -1 where nobody looked; `role` is train, validation or test."""

    path: str
    source: str
    patient: str
    slice: int
    hemorrhage: int
    ischemia: int
    role: str
    brain: float
    kinds: str = ""


@dataclass(frozen=True, eq=False)
class Cache:
    """Rows and their planes (N, P, S, S) uint8, memory-mapped."""

    rows: tuple[Row, ...]
    planes: ByteArray

    def where(self, **wanted: object) -> list[int]:
        """Indices of the rows whose fields all equal what is asked for."""
        return [i for i, r in enumerate(self.rows) if all(getattr(r, k) == v for k, v in wanted.items())]


def brain_depth(framed: Framed) -> FloatArray:
    """(S, S) distance in pixels to the edge of the brain, 0 outside it, from a brain window with white bone."""
    size = framed.grey.shape[0]
    soft = ((framed.grey < BONE) & framed.head).astype(np.uint8)
    # The edge of the frame counts as bone, so that scalp outside the skull stays a separate part.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    parts = cv2.morphologyEx(soft, cv2.MORPH_OPEN, kernel)
    inside = cv2.distanceTransform(np.pad(framed.head, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    parts[inside < size * 0.02] = 0
    count, labels, stats, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    if count < 2:
        return np.zeros_like(framed.grey)
    brain = (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    contours, _ = cv2.findContours(brain, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    brain = cv2.drawContours(np.zeros_like(brain), contours, -1, 1, cv2.FILLED)
    # Soft tissue that bone does not enclose is a face or a neck.
    bone = cv2.dilate((framed.grey >= BONE).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    outline = cv2.drawContours(np.zeros_like(brain), contours, -1, 1, 1) > 0
    if bone[outline].mean() < ENCLOSED:
        return np.zeros_like(framed.grey)
    return np.asarray(cv2.distanceTransform(np.pad(brain, 1), cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def planes_of(image: Slice, blood: BoolArray | None = None, ignore: BoolArray | None = None) -> ByteArray:
    """(P, S, S) uint8 of one slice; masks are in the slice's own pixels."""
    framed = FRAMING.framed(image)
    depth = brain_depth(framed)
    distance = cv2.distanceTransform(np.pad(framed.head, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    inner = distance > SKULL_SHARE * float(distance.max(initial=0))
    out = np.zeros((len(PLANES), CACHE_SIZE, CACHE_SIZE), dtype=np.uint8)
    out[0] = np.rint(framed.grey * 255)
    out[1] = np.clip(np.rint(depth), 0, 255)
    out[2] = inner * np.uint8(255)
    for plane, mask in ((3, blood), (4, ignore)):
        if mask is not None:
            side = (CACHE_SIZE, CACHE_SIZE)
            out[plane] = cv2.warpAffine(mask.astype(np.uint8) * 255, framed.affine, side, flags=cv2.INTER_LINEAR)
    return out


def roles(patients: Iterable[str], seed: int = 2026) -> dict[str, str]:
    """Patient to train (70 %), validation (12 %) or test (18 %), drawn once by a seeded permutation."""
    names = np.array(sorted(set(patients)))
    order = np.random.default_rng(seed).permutation(len(names))
    first, second = round(0.70 * len(names)), round(0.82 * len(names))
    out: dict[str, str] = {}
    for place, index in enumerate(order):
        out[str(names[index])] = "train" if place < first else "validation" if place < second else "test"
    return out


def _read_grey(path: Path) -> Slice:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise FileNotFoundError(f"{path} cannot be read as a picture")
    return Slice(pixels.astype(np.float32), "grey")


def _read_mask(path: Path) -> BoolArray:
    return np.asarray(_read_grey(path).pixels > 127)


def _ct_ich(root: Path) -> Iterable[tuple[Row, Slice, BoolArray | None, BoolArray | None]]:
    """PhysioNet ct-ich; patients whose slice labels are doubtful are left out."""
    table = [r for r in csv.DictReader((root / "slices.csv").open()) if r["label_trust"] != "doubtful"]
    role = roles(r["patient"] for r in table)
    for r in table:
        row = Row(r["image"], "ct_ich", "ct_ich:" + r["patient"], int(r["slice"]), int(r["hemorrhage"]), 0,
                  role[r["patient"]], 0.0, r["types"])  # fmt: skip
        # Which pixels bleed is not annotated: a bleeding slice teaches its class only.
        image = _read_grey(root / r["image"])
        yield row, image, None, np.ones(image.shape, dtype=bool) if row.hemorrhage else None


def _phe_sich(root: Path) -> Iterable[tuple[Row, Slice, BoolArray | None, BoolArray | None]]:
    """PHE-SICH-CT-IDS: every patient bleeds; a slice without an oedema mask was not annotated.

    A slice three or more away from every annotated one is taken as free of blood (0), one nearer as
    unknown (-1). Masks outline the oedema around the blood: what they enclose is the blood.
    """
    listed = csv.DictReader((root / "slices.csv").open())
    table = [r for r in listed if r["near_blank"] != "1" and not r["duplicate_of"]]
    role = roles(r["patient"] for r in table)
    shown: dict[str, list[int]] = {}
    for r in table:
        if int(r["edema_pixels"]) > 0:
            shown.setdefault(r["patient"], []).append(int(r["slice"]))
    for r in table:
        near = min((abs(int(r["slice"]) - s) for s in shown.get(r["patient"], [])), default=-1)
        label = 1 if near == 0 else 0 if near >= 3 else -1
        who = r["patient"]
        row = Row(r["image"], "phe_sich", "phe_sich:" + who, int(r["slice"]), label, 0, role[who], 0.0)
        blood: BoolArray | None = None
        ignore: BoolArray | None = None
        if label == 1 and r["edema_mask"]:
            oedema = _read_mask(root / r["edema_mask"])
            contours, _ = cv2.findContours(oedema.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            whole = cv2.drawContours(np.zeros(oedema.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0
            blood, ignore = np.asarray(whole & ~oedema), oedema
            if blood.sum() < 20:  # an open rim encloses nothing: where the blood is, is not known
                blood, ignore = None, np.ones_like(oedema)
        yield row, _read_grey(root / r["image"]), blood, ignore


def _lesion_masks(root: Path) -> Iterable[tuple[Row, Slice, BoolArray | None, BoolArray | None]]:
    """AISD (ischemic) and MBH (hemorrhagic) slices: for testing only."""
    for r in csv.DictReader((root / "slices.csv").open()):
        hemorrhage = int(r["label"] == "hemorrhagic")
        row = Row(r["image"], r["source"], r["source"] + ":" + r["patient"], 0, hemorrhage, 1 - hemorrhage, "test", 0.0)
        yield row, _read_grey(root / r["image"]), _read_mask(root / r["mask"]), None


def build(shared: Path, folder: Path) -> Cache:
    """Write the cache of `../shared/data` into `folder` (planes.npy, rows.csv) and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    stack: list[ByteArray] = []
    for reader, name in ((_ct_ich, "ct_ich"), (_phe_sich, "phe_sich"), (_lesion_masks, "lesion_masks")):
        for row, image, blood, ignore in reader(shared / name):
            planes = planes_of(image, blood, ignore)
            rows.append(replace(row, brain=float((planes[1] > 0).mean())))
            stack.append(planes)
    with (folder / "rows.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(r) for r in rows)
    np.save(folder / "planes.npy", np.stack(stack))
    return open_cache(folder)


def open_cache(folder: Path) -> Cache:
    """The cache that `build` wrote."""
    whole = {"slice": int, "hemorrhage": int, "ischemia": int, "brain": float}
    with (folder / "rows.csv").open(newline="") as handle:
        rows = tuple(Row(**{k: whole.get(k, str)(v) for k, v in r.items()}) for r in csv.DictReader(handle))
    return Cache(rows, np.load(folder / "planes.npy", mmap_mode="r"))


def main(argv: Sequence[str]) -> int:
    """`python -m training cache SHARED FOLDER`: decode, frame and store every slice once."""
    p = argparse.ArgumentParser(prog="python -m training cache", description=main.__doc__)
    p.add_argument("shared", type=Path, help="folder with ct_ich, phe_sich and lesion_masks, each with its slices.csv")
    p.add_argument("folder", type=Path, help="where planes.npy and rows.csv go (about 1.4 GiB)")
    args = p.parse_args(argv)
    cache = build(args.shared, args.folder)
    print(f"{len(cache.rows)} slices of {len({r.patient for r in cache.rows})} patients or groups in {args.folder}")
    return 0

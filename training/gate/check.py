"""How often the scope gate refuses head CT and lets other pictures through: `python -m training gate`.

Reads the shared data beside the repository, writes results/gate.json (figures only) and prints the table that
docs/results.md holds. Figures are for the second half of the patients in the sorted list. The limits in
`strokenext.gate` were first set while looking at slices of all patients, so this is no blind test; changes from now
on are to be made by looking at the first half (``--half first``). A slice's height is its place in its patient's
series, 0 the lowest; nobody labelled which slices show brain, so rates are given by height.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strokenext.errors import NotFoundError, StrokeNeXtError
from strokenext.gate import check_scope
from strokenext.io.read import read_series, read_slice
from strokenext.saving import write_file
from strokenext.types import Gate, Slice
from training.data.slices_csv import read_rows
from training.measure.bootstrap import wilson
from training.measure.estimate import text

from .pictures import ALTERED, NOT_CT
from .variations import EXPORTS, VARIATIONS
from .varied import SAME_HEAD, Varied, exported, varied

#: Pictures of each drawn kind.
SEEDS = 6
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
RESULTS = Path(__file__).resolve().parents[2] / "results" / "gate.json"
#: Bands of relative height: what they usually show.
BANDS = (
    ("face and skull base, below 0.15", 0.0, 0.15),
    ("posterior fossa, 0.15 to 0.35", 0.15, 0.35),
    ("brain, 0.35 to 0.9", 0.35, 0.9),
    ("vertex, above 0.9", 0.9, 1.01),
)
#: phe_sich patient 0163 was scanned from the chest up: images 0 to 30 show chest, shoulders and neck.
BODY_PATIENT, BODY_LAST, BODY_UNSURE = "0163", 30, 45
#: Relative heights at which slices show brain, and the sources that are varied there.
BRAIN_BAND = (0.35, 0.9)
VARIED_SOURCES = ("ct_ich", "phe_sich", "aisd", "mbh")
#: Slices between them that show neck, face or bone alone, no brain: of all that the gate refuses as they are, looked at
#: one by one, those without any; the thirteen with a little brain count as refused.
NO_BRAIN = frozenset(
    [
        "049_13",
        "049_14",
        "049_15",
        "049_16",
        "054_20",
        "054_21",
        "054_22",
        "054_23",
        "123_14",
        "0012_27",
        "0021_27",
        "0024_32",
        "0024_33",
        "0030_69",
        "0032_25",
        "0032_26",
        "0036_27",
        "0038_69",
        "0043_33",
        "0043_34",
        "0043_35",
        "0068_27",
        "0118_25",
        "0118_26",
        "0129_27",
    ]
)


@dataclass(frozen=True)
class GatePicture:
    """One picture of the shared data: `height` 0..1 in its series, `lesion` marked by an expert, `body` no head.

    `no_brain` is a slice at brain height that was looked at and shows bone alone, no brain.
    """

    path: Path
    source: str
    height: float
    lesion: bool
    blank: bool
    body: bool
    no_brain: bool
    second_half: bool


#: A picture and what the gate says of it.
Checked = tuple[GatePicture, Gate]


@dataclass(frozen=True)
class Rate:
    """`hits` of `n` with the 95 % Wilson interval, and the codes the gate gave."""

    group: str
    n: int
    hits: int
    codes: dict[str, int]

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.n)

    def row(self) -> str:
        low, high = self.interval
        share = {"value": self.hits / max(self.n, 1), "low": low, "high": high}
        return f"| {self.group} | {self.n} | {self.hits} | {text(share, 1, percent=True)} |"

    def record(self) -> dict[str, object]:
        return {"group": self.group, "n": self.n, "hits": self.hits, "interval": self.interval, "codes": self.codes}


def gate_pictures(root: Path) -> list[GatePicture]:
    """Every slice of the three picture sets, in the order of their patients and of height."""
    pictures: list[GatePicture] = []
    for source in ("ct_ich", "phe_sich", "lesion_masks"):
        rows = read_rows(root / source / "slices.csv")
        for number, patient in enumerate(sorted({r["patient"] for r in rows})):
            stack = [r for r in rows if r["patient"] == patient]
            if source != "lesion_masks":
                stack.sort(key=lambda r: int(r["slice"]))
            for i, row in enumerate(stack):
                height = 0.5 if source == "lesion_masks" else i / max(1, len(stack) - 1)
                pictures.append(_picture(root / source, row, height, bool(number % 2)))
    return pictures


def _picture(folder: Path, row: dict[str, str], height: float, second_half: bool) -> GatePicture:
    return GatePicture(
        path=folder / row["image"],
        source=row.get("source", folder.name),
        height=height,
        lesion=any(row.get(key, "0") not in ("", "0") for key in ("hemorrhage", "edema_pixels", "lesion_pixels")),
        blank=row.get("near_blank", "0") == "1",
        body=folder.name == "phe_sich" and row["patient"] == BODY_PATIENT and int(row["slice"]) <= BODY_UNSURE,
        no_brain=row["image"].split("/")[-1].split(".")[0] in NO_BRAIN,
        second_half=second_half,
    )


def _rate(group: str, gates: Iterable[Gate], accepted: bool) -> Rate:
    gates = list(gates)
    hits = sum(g.accepted == accepted for g in gates)
    return Rate(group, len(gates), hits, dict(Counter(g.code for g in gates)))


def refusals(checked: Sequence[Checked]) -> list[Rate]:
    """Refused head CT, by source and height."""
    heads = [(c, g) for c, g in checked if not c.blank and not c.body]
    rates = []
    for source in ("ct_ich", "phe_sich"):
        for name, low, high in BANDS:
            gates = [g for c, g in heads if c.source == source and low <= c.height < high]
            rates.append(_rate(f"{source}, {name}", gates, accepted=False))
    marked = [g for c, g in heads if c.lesion and c.source in ("ct_ich", "phe_sich")]
    rates.append(_rate("ct_ich and phe_sich, slices with a marked lesion", marked, accepted=False))
    for source, name in (("aisd", "AISD, ischemic"), ("mbh", "MBH, hemorrhagic, wide window")):
        rates.append(_rate(name, [g for c, g in heads if c.source == source], accepted=False))
    return rates


def series(root: Path) -> list[Rate]:
    """Refused slices of the two DICOM head series, all heights."""
    return [
        _rate(f"DICOM {name}, all heights", map(check_scope, read_series(root / "dicom" / name)), accepted=False)
        for name in ("ischemic_series", "ge_head_series")
    ]


def acceptances(root: Path, checked: Sequence[Checked]) -> list[Rate]:
    """Accepted pictures that are no head CT with brain."""
    screenshots = [p for p in sorted((root / "not_ct" / "mr_dwi_png").iterdir()) if p.suffix in (".png", ".jpg")]
    mr = [check_scope(read_slice(p)) for p in screenshots]
    rates = [_rate("diffusion MRI screenshots", mr, accepted=True)]
    for name in ("not_ct_mr_dwi", "scout", "secondary_capture"):
        files = [p for p in sorted((root / "dicom" / name).rglob("*")) if p.is_file() and p.suffix.lower() != ".md"]
        rates.append(_rate(f"DICOM {name}", _readable(files), accepted=True))
        if name == "not_ct_mr_dwi":
            rates.append(_rate("the same MR slices, header hidden", _readable(files, bare=True), accepted=True))
    neck = [p for p in sorted((root / "dicom" / "transfer_syntaxes").iterdir()) if p.name.startswith("CTImage")]
    rates.append(_rate("DICOM chest and neck slice, every encoding", _readable(neck), accepted=True))
    body = [g for c, g in checked if c.body and int(c.path.stem.split("_")[1]) <= BODY_LAST]
    rates.append(_rate("chest, shoulder and neck slices (phe_sich 0163)", body, accepted=True))
    rates.append(_rate("near-blank slices (phe_sich)", [g for c, g in checked if c.blank], accepted=True))
    for name, make in NOT_CT.items():
        gates = [check_scope(Slice(make(np.random.default_rng(seed)), "grey")) for seed in range(SEEDS)]
        rates.append(_rate(f"drawn: {name}", gates, accepted=True))
    return rates


def _readable(files: Iterable[Path], bare: bool = False) -> list[Gate]:
    """The gate's answers for the files that decode; `bare` gives the pixels as a picture without header."""
    gates = []
    for path in files:
        try:
            image = read_slice(path)
        except StrokeNeXtError:
            continue  # what cannot be read needs no gate
        gates.append(check_scope(_without_header(image) if bare else image))
    return gates


def _without_header(image: Slice) -> Slice:
    pixels = image.pixels
    low, high = np.percentile(pixels, (0.5, 99.5))
    return Slice(np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1) * 255, "grey")


def alterations(checked: Sequence[Checked], count: int = 60) -> list[Rate]:
    """Refused copies of accepted slices at brain height, after what web sites and slides do to pictures."""
    usable = [c for c, g in checked if g.accepted and not c.body and 0.4 <= c.height <= 0.85]
    pictures = [read_slice(c.path).pixels for c in _spread(usable, count)]
    return [
        _rate(name, (check_scope(Slice(change(p.copy()), "grey")) for p in pictures), accepted=False)
        for name, change in ALTERED.items()
    ]


def variations(chosen: Sequence[GatePicture], count: int) -> tuple[list[Rate], list[Rate]]:
    """Refused slices at brain height after each variation, by source and in all; and heads found elsewhere.

    At most `count` slices of a source, spread over its patients, accepted as they are or not.
    """
    brain = [c for c in chosen if BRAIN_BAND[0] <= c.height < BRAIN_BAND[1] and not (c.blank or c.body or c.no_brain)]
    answers: dict[str, list[Varied]] = {}
    for source in VARIED_SOURCES:
        pictures = _spread([c for c in brain if c.source == source], count)
        answers[source] = [answer for seed, c in enumerate(pictures) for answer in varied(c.path, seed)]
    together = [answer for found in answers.values() for answer in found]
    refused, elsewhere = [], []
    for name in VARIATIONS:
        for source, found in answers.items():
            gates = [answer.gate for answer in found if answer.variation == name]
            refused.append(_rate(f"{name}, {source}", gates, accepted=False))
        stayed = [answer.overlap for answer in together if answer.variation == name]
        elsewhere.append(Rate(name, len(stayed), sum(overlap < SAME_HEAD for overlap in stayed), {}))
    refused.append(_rate("all of them", [answer.gate for answer in together], accepted=False))
    return refused, elsewhere


def exports(root: Path) -> list[Rate]:
    """Accepted pictures that are no head CT, after what is done to any picture on its way."""
    screenshots = sorted((root / "not_ct" / "mr_dwi_png").glob("*.png"))
    bare = [_without_header(read_slice(p)).pixels for p in sorted((root / "dicom" / "not_ct_mr_dwi").glob("*.dcm"))]
    kinds = {
        "diffusion MRI": [read_slice(path).pixels for path in screenshots] + bare,
        "drawn": [make(np.random.default_rng(seed)) for make in NOT_CT.values() for seed in range(SEEDS // 2)],
    }
    return [
        _rate(f"{kind}, {name}", exported(pictures, variation), accepted=True)
        for kind, pictures in kinds.items()
        for name, variation in EXPORTS.items()
    ]


def _spread(pictures: Sequence[GatePicture], count: int) -> list[GatePicture]:
    """So many of the pictures, evenly spread."""
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int)]


def table(tables: dict[str, list[Rate]]) -> str:
    """Markdown of all tables."""
    titles = {
        "refused": ("Head CT, second half of the patients", "refused"),
        "accepted": ("Not a head CT slice with brain", "accepted"),
        "altered": ("Accepted slices after an alteration", "refused"),
        "varied": ("Head CT at brain height, varied at random", "refused"),
        "framed": ("The same, by where the head was found", "elsewhere"),
        "exported": ("Not a head CT slice, exported", "accepted"),
    }
    lines: list[str] = []
    for key, (title, verb) in titles.items():
        lines += [f"| {title} | n | {verb} | share (95 % interval) |", "|---|---|---|---|"]
        lines += [rate.row() for rate in tables[key]]
        lines.append("")
    return "\n".join(lines)


def milliseconds(chosen: Sequence[GatePicture]) -> float:
    """Median processor time of one check, ms, on slices already read."""
    images = [read_slice(c.path) for c in chosen[:: max(1, len(chosen) // 40)]]
    times = []
    for image in images:
        start = time.process_time()
        check_scope(image)
        times.append(1e3 * (time.process_time() - start))
    return float(np.median(times))


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0. Raises NotFoundError without the data."""
    parser = argparse.ArgumentParser(prog="python -m training gate", description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with ct_ich, phe_sich, lesion_masks, ...")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    parser.add_argument("--half", choices=("first", "second"), default="second", help="which patients to check")
    parser.add_argument("--every", type=int, default=1, help="check only every n-th slice")
    parser.add_argument("--varied", type=int, default=60, help="slices of a source that go through every variation")
    options = parser.parse_args(argv)
    if not options.data.is_dir():
        raise NotFoundError(f"The shared data are not at {options.data}; name them with --data.")
    pictures, half = gate_pictures(options.data), options.half == "second"
    chosen = [c for c in pictures if c.body or c.source == "aisd" or c.second_half == half][:: options.every]
    checked = [(c, check_scope(read_slice(c.path))) for c in chosen]
    refused, elsewhere = variations(
        [c for c in pictures if c.source == "aisd" or c.second_half == half], options.varied
    )
    tables = {
        "refused": refusals(checked) + series(options.data),
        "accepted": acceptances(options.data, checked),
        "altered": alterations(checked),
        "varied": refused,
        "framed": elsewhere,
        "exported": exports(options.data),
    }
    record = {key: [rate.record() for rate in rates] for key, rates in tables.items()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"patients": options.half, "every": options.every, "milliseconds": round(milliseconds(chosen), 1)}
    write_file(options.out, json.dumps({**facts, **record}, indent=1) + "\n")
    print(f"{table(tables)}\nMedian processor time of one check: {facts['milliseconds']} ms")
    return 0

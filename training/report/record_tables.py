"""Tables of what is no classification result: explanations, segmentation, volumes, the gate, and how all was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.measure.estimate import DASH, text
from training.results.explanations import CHECKS, explained
from training.results.tree import Entry, Material, record_title

from .section import Table
from .tables import MODEL, auroc

#: Where the heat lies; whether it depends on what it should; what a document needs of both.
PLACE, SANITY = tuple(CHECKS)[:8], tuple(CHECKS)[8:]
BRIEF = ("hit", "hit_minus_control", "ratio", "outside", "randomised")
#: Keys of a record that say how it was made rather than what was found.
_NO_FIGURE = {
    *("format", "environment", "preprocess", "history", "training", "predictions", "seed", "sha256", "weights_sha256"),
    *("n", "units", "low", "high", "arguments", "recipe", "settings", "threshold_curve", "cases", "rows"),
}


def explanation_table(material: Material, checks: Sequence[str] = BRIEF) -> Table:
    """A line per model, a column per check; as given, those that a document needs."""
    rows = []
    for name, row in explained(material):
        cells = (text(row.get(k), signed=k.endswith("control")) for k in checks)
        rows.append((name, str(row.get("images", DASH)), *cells))
    return Table(("model", "slices", *(CHECKS[k] for k in checks)), tuple(rows))


def explanation_sources_table(material: Material) -> Table:
    """The same by source, for every model: an edema, an infarct and a bleed are hit to different degrees."""
    rows = []
    for name, checks in explained(material):
        for source, r in (checks.get("by_source") or {}).items():
            cells = (text(r.get(k)) for k in ("hit", "hit_minus_control", "energy", "ratio"))
            rows.append((name, source, str(r.get("images", DASH)), *cells))
    heads = (*(CHECKS[k] for k in ("hit", "hit_minus_control", "energy")), "heat in the lesion over the rest")
    return Table(("model", "source", "slices", *heads), tuple(rows))


def volume_table(entries: Sequence[Entry]) -> Table:
    """Whole patients: the 3-D network and what a slice model's slices add up to, on the same ones."""

    def alone(e: Entry) -> str:
        rates = [(s, r["called_positive"]) for s, r in e.result.extra.get("one_class_sources", {}).items()]
        return "; ".join(f"{s}: {text(rate)} of {rate['n']}" for s, rate in rates) or DASH

    return Table.of(
        entries,
        {
            **MODEL,
            "patients (positive)": lambda e: f"{e.metrics['units']} ({e.metrics['at_threshold']['positives']})",
            "AUROC (95 %)": auroc,
            "sensitivity": lambda e: text(e.metrics["at_threshold"]["sensitivity"]),
            "specificity": lambda e: text(e.metrics["at_threshold"]["specificity"]),
            "called positive where every patient is": alone,
            "s per series": lambda e: text(e.result.data.get("seconds_per_image"), 2),
        },
    )


def segmentation_table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Each set of slices of a segmentation result: overlap where a lesion is, what is marked where none is."""
    columns = {
        "iou": "IoU (95 %)",
        "dice": "Dice",
        "dice_patients": "Dice of patients",
        "lesions_found": "lesions found",
        "slices_marked": "slices with anything marked",
        "marked_share_of_head": "share of the head marked",
    }
    rows = []
    for name, values in records.items():
        for part, row in values.get("metrics", {}).items():
            if isinstance(row, Mapping) and "slices" in row:
                count = f"{row['slices']} ({row.get('patients', DASH)})"
                rows.append((record_title(name, values), part, count, *(text(row.get(k)) for k in columns)))
    return Table(("model", "slices and class", "slices (patients)", *columns.values()), tuple(rows))


def record_table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every figure of records whose form the report does not prescribe: file, measure, value with interval, n."""
    rows = []
    for name, values in records.items():
        body = values.get("metrics") if isinstance(values.get("metrics"), Mapping) else values
        rows += [(record_title(name, values), *figure) for figure in _figures(body or {})]
    return Table(("model", "measure", "value (95 %)", "n (patients)"), tuple(rows))


def _figures(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, text and count of each number or estimate below a mapping; lists and settings are left out."""
    for key, value in values.items():
        path = f"{prefix}{key.replace('_', ' ')}"
        if key in _NO_FIGURE or isinstance(value, str | bool) or value is None:
            continue
        if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
            count = f"{value['n']} ({value['units']})" if {"n", "units"} <= set(value) else ""
            yield path, text(value), count
        elif isinstance(value, Mapping):
            yield from _figures(value, f"{path}: ")
        elif isinstance(value, int | float):
            yield path, str(value) if isinstance(value, int) else text(value), ""


def gate_tables(record: Mapping[str, Any]) -> list[Table]:
    """Refusals of head CT, and acceptances of everything else."""
    tables = {
        "refused": ("head CT, second half of the patients", "refused"),
        "varied": ("head CT at brain height, varied at random", "refused"),
        "framed": ("the same, by where the head was found", "elsewhere"),
        "accepted": ("no head CT slice with brain", "accepted"),
        "exported": ("the same, exported", "accepted"),
    }

    def share(rate: Mapping[str, Any]) -> str:
        low, high = rate["interval"]
        return text({"value": rate["hits"] / max(rate["n"], 1), "low": low, "high": high}, 1, percent=True)

    return [
        Table.of(
            record[key],
            {
                title: lambda r: r["group"],
                "n": lambda r: str(r["n"]),
                verb: lambda r: str(r["hits"]),
                "share (95 % interval)": share,
            },
        )
        for key, (title, verb) in tables.items()
        if record.get(key)
    ]


def inputs_tables(record: Mapping[str, Any]) -> list[Table]:
    """Pictures unlike the training ones: of which the figures do not speak, what a window changes, heads turned."""
    titles = {
        "known": ("test patients and other sources", "figures do not speak"),
        "left out": ("one source left out", "figures do not speak"),
        "windows": ("pictures without HU", "of those"),
        "exported": ("pictures cropped, framed, compressed, photographed", "decision changed"),
        "turned": ("pictures turned and mirrored", "wrong"),
    }
    return [_inputs_table(record[key], *names) for key, names in titles.items() if record.get(key)]


def _inputs_table(rows: Sequence[Mapping[str, Any]], title: str, verb: str) -> Table:
    def share(row: Mapping[str, Any]) -> str:
        if "auroc" in row:
            return f"AUROC {row['auroc']:.3f}"
        return text({"value": row["hits"] / max(row["n"], 1), **_ends(row["interval"])}, 1, percent=True)

    return Table.of(
        rows,
        {
            title: lambda r: r["group"],
            "n": lambda r: str(r["n"]),
            verb: lambda r: str(r.get("hits", "")),
            "share (95 % interval)": share,
            "of these": lambda r: ", ".join(f"{name} {n}" for name, n in sorted(r.get("codes", {}).items())),
        },
    )


def _ends(interval: Sequence[float]) -> dict[str, float]:
    return {"low": interval[0], "high": interval[1]}


def experiments_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """How each result was made: the command, and how long training took on what."""

    def machines(r: Mapping[str, Any]) -> str:
        return f"{r.get('trained_on', '')}; {r.get('hardware', '')}, {r.get('threads', '?')} threads"

    return Table.of(
        rows,
        {
            "result": lambda r: str(r["cell"]),
            "training command": lambda r: f"`{r.get('train', '')}`",
            "minutes": lambda r: text(float(r.get("training_seconds") or 0) / 60, 1),
            "trained on; evaluated on": machines,
        },
    )


def not_run_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """What was not run, why, what stands in its place and how to run it."""
    cells = tuple((r["what"], r["why"], r.get("instead", DASH), r.get("command", DASH)) for r in rows)
    return Table(("not run", "why", "instead", "command"), cells)

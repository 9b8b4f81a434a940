"""Tables made from result files alone: the report and the README show the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from strokenext import zoo

from .paper import TABLES, published
from .render import Table
from .results import Result

#: Order of protocols in every table.
PROTOCOLS = ("image", "grouped", "kfold", "source", "published", "")


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where it is undefined."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def estimate(row: Mapping[str, Any]) -> str:
    """value (low to high)."""
    if row["value"] is None:
        return "–"
    return f"{number(row['value'])} ({number(row['low'])} to {number(row['high'])})"


def title(result: Result) -> str:
    """The architecture's title where the zoo knows it, else the model's name."""
    rows = {r.name: r.title for r in zoo.list_models()}
    return rows.get(str(result.model.get("architecture")), result.name)


def where(result: Result) -> str:
    """Protocol and part in words."""
    names = {"image": "image level", "grouped": "by patient", "kfold": "by patient, fold", "source": "unseen source"}
    protocol = str(result.data.get("protocol", ""))
    part = result.data.get("part")
    control = ", random labels" if result.data.get("control") == "random labels" else ""
    return (
        (names.get(protocol, protocol) or "all labelled")
        + (f", {part}" if part not in (None, "test") else "")
        + control
    )


def ordered(results: Sequence[Result]) -> list[Result]:
    """By task, protocol, then the zoo's order."""
    zoo_order = {r.name: i for i, r in enumerate(zoo.list_models())}

    def key(r: Result) -> tuple[Any, ...]:
        protocol = str(r.data.get("protocol", ""))
        return (r.model["task"], PROTOCOLS.index(protocol) if protocol in PROTOCOLS else 9,
                str(r.data.get("part", "")), zoo_order.get(str(r.model.get("architecture")), 99), r.name)  # fmt: skip

    return sorted(results, key=key)


def main_table(results: Sequence[Result], task: str) -> Table:
    """Every result of a task on one line."""
    heads = ("model", "evaluated", "slices / units", "AUROC (95 %)", "accuracy", "F1 macro", "MCC", "sensitivity",
             "specificity", "sens. at 0.90 / 0.95 spec.", "s per image")  # fmt: skip
    rows = []
    for r in ordered([r for r in results if r.model["task"] == task]):
        point, rank = r.metrics["at_threshold"], r.metrics["ranking"]
        at = rank["sensitivity_at_specificity"]
        rows.append((
            title(r), where(r), f"{r.metrics['slices']} / {r.metrics['units']}", estimate(rank["auroc"]),
            number(point["accuracy"]["value"]), number(point["f1_macro"]), number(point["mcc"]),
            estimate(point["sensitivity"]), estimate(point["specificity"]),
            f"{number(at['0.9'])} / {number(at['0.95'])}", number(r.data.get("seconds_per_image"), 4),
        ))  # fmt: skip
    return Table(heads, tuple(rows))


def paper_table(results: Sequence[Result], task: str) -> Table:
    """The paper's image-level figures beside ours at image level and by patient, with the gap between those."""
    heads = ("model", "paper: acc", "prec", "rec", "F1", "train h", "s/image", "ours, image level: acc", "F1",
             "ours, by patient: acc", "F1", "gap in acc", "train h", "s/image")  # fmt: skip
    ours = [
        r
        for r in results
        if r.model["task"] == task and r.data.get("part", "test") == "test" and not r.data.get("control")
    ]
    names = [row.architecture for row in TABLES[task]]
    names += sorted({str(r.model["architecture"]) for r in ours} - set(names))
    titles = {r.name: r.title for r in zoo.list_models()}
    rows = []
    for name in names:
        row = published(task, name)
        theirs = ["–"] * 6 if row is None else [*(f"{v:.3f}" for v in row[1:6]), f"{row.seconds:.4f}"]
        image = _one(ours, name, "image")
        grouped = _one(ours, name, "grouped")
        a, b = (None if r is None else r.metrics["at_threshold"]["accuracy"]["value"] for r in (image, grouped))
        f1 = [None if r is None else r.metrics["at_threshold"]["f1_macro"] for r in (image, grouped)]
        known = grouped or image
        hours = None if known is None else known.extra.get("training_hours")
        seconds = None if known is None else known.data.get("seconds_per_image")
        gap = None if a is None or b is None else a - b
        rows.append((titles.get(name, name), *theirs, number(a), number(f1[0]), number(b), number(f1[1]),
                     number(gap), number(hours), number(seconds, 4)))  # fmt: skip
    return Table(heads, tuple(rows))


def _one(results: Sequence[Result], architecture: str, protocol: str) -> Result | None:
    found = (r for r in results if r.model["architecture"] == architecture and r.data.get("protocol") == protocol)
    return next(found, None)


def breakdown(result: Result) -> Table:
    """By source, class and hemorrhage type: how many are called positive."""
    rows = []
    for name, r in result.metrics["by_source"].items():
        rates = f"sensitivity {number(r['sensitivity'])}, specificity {number(r['specificity'])}"
        rows.append((f"source {name}", f"{r['n']} ({r['positives']} positive)", rates, estimate(r["auroc"])))
    for name, r in result.metrics["by_class"].items():
        called = r["called_positive"]
        rows.append((f"class {name}", str(called["n"]), f"called positive {estimate(called)}", ""))
    for name, r in result.metrics["by_type"].items():
        called = r["called_positive"]
        rows.append(
            (
                f"type {name}",
                str(called["n"]),
                f"called positive {estimate(called)}",
                number(r["auroc_against_negatives"]),
            )
        )
    return Table(("part", "slices", "at the threshold", "AUROC"), tuple(rows))


def calibration_table(results: Sequence[Result]) -> Table:
    """Before and after temperature scaling."""
    rows = []
    for r in ordered([r for r in results if "calibration" in r.metrics]):
        for when, c in r.metrics["calibration"].items():
            cells = tuple(number(c[k]) for k in ("temperature", "ece", "brier", "intercept", "slope"))
            rows.append((f"{title(r)}, {r.model['task']}", where(r), when, *cells))
    return Table(("model", "evaluated", "scaling", "T", "ECE", "Brier", "intercept", "slope"), tuple(rows))


def explanation_table(results: Sequence[Result]) -> Table:
    """Explanation checks, a column per model."""
    explained = ordered([r for r in results if "explanation" in r.extra])
    asked = {
        "hit": "pointing game", "hit_minus_control": "… minus centre prior", "energy": "energy in the mask",
        "energy_minus_control": "… minus centre prior", "mask_share": "mask's share of the head",
        "outside": "heat outside the head", "flip": "mirroring, rank correlation",
        "randomised": "shuffled weights, rank correlation", "deletion": "deletion (low is good)",
        "random_deletion": "deletion at random", "insertion": "insertion (high is good)",
    }  # fmt: skip
    rows = [
        (label, *(estimate(r.extra["explanation"][key]) if key in r.extra["explanation"] else "–" for r in explained))
        for key, label in asked.items()
    ]
    heads = tuple(f"{title(r)}, {r.model['task']} (n {r.extra['explanation']['images']})" for r in explained)
    return Table(("measure", *heads), tuple(rows))

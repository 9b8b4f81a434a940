"""What the results come to, in sentences made from the result files: no figure here that a table does not hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from training.measure.estimate import text

from .explanations import explained
from .tree import TASKS, Entry, Material


def sentences(material: Material) -> tuple[str, ...]:
    """A sentence per finding, in the order of the report; nothing where nothing was measured."""
    findings: list[str] = []
    for task in TASKS:
        findings += [*_gap(material, task), *_best(material, task), *_unseen(material, task), *_control(material, task)]
    return (*findings, *_explanations(material))


def _area(entry: Entry) -> float:
    value = entry.auroc["value"]
    return float("nan") if value is None else float(value)


def _span(values: Sequence[float], sign: str = "") -> str:
    """The only value, or the median with the smallest and the largest; with `sign` "+" every sign is written."""
    low, middle, high = (f"{v:{sign}.3f}" for v in (min(values), median(values), max(values)))
    return middle if len(values) == 1 else f"{middle} in the median ({low} to {high})"


def _gap(material: Material, task: str) -> Iterator[str]:
    pairs = [(e, material.one(task, "grouped", e.architecture)) for e in material.of(task, "image")]
    both = [(e, g) for e, g in pairs if g is not None]
    calls = [(e.point("accuracy"), g.point("accuracy")) for e, g in both]
    differences = [a - b for a, b in calls if a is not None and b is not None]
    if differences:
        areas = [_area(e) - _area(g) for e, g in both]
        models = f"of {len(both)} models" if len(both) > 1 else f"of {both[0][0].title}"
        yield (
            f"{task.capitalize()}: against a split by patient, an image-level one changes the accuracy {models} by "
            f"{_span(differences, '+')}, the AUROC by {_span(areas, '+')}."
        )


def _best(material: Material, task: str) -> Iterator[str]:
    held = [e for e in material.of(task, "grouped") if _area(e) == _area(e)]
    ranked = sorted(held, key=_area, reverse=True)
    ours = next((e for e in ranked if e.ours), None)
    if len(ranked) < 2:
        return
    best = f"By patient the highest AUROC of {task} is {text(_area(ranked[0]))} ({ranked[0].title})"
    if ours is not None and ours is not ranked[0]:
        place = ranked.index(ours) + 1
        best += f"; the best StrokeNeXt, {ours.title}, is number {place} of {len(ranked)} with {text(_area(ours))}"
    yield best + "."


def _unseen(material: Material, task: str) -> Iterator[str]:
    for source in dict.fromkeys(e.detail for e in material.of(task, "source")):
        areas = [_area(e) for e in material.of(task, "source") if e.detail == source and _area(e) == _area(e)]
        if areas:
            yield f"On {source}, when it was never trained on, the AUROC of {task} is {_span(areas)}."


def _control(material: Material, task: str) -> Iterator[str]:
    for protocol, words in (("image", "an image-level split"), ("grouped", "a split by patient")):
        areas = [_area(e) for e in material.of(task, protocol, random=True) if _area(e) == _area(e)]
        if areas:
            yield f"Trained on meaningless labels, {words} gives an AUROC of {_span(areas)} for {task}."


def _explanations(material: Material) -> Iterator[str]:
    rows = [(name, f["hit_minus_control"]) for name, f in explained(material) if f.get("hit_minus_control")]
    better = [name for name, r in rows if r.get("low") is not None and r["low"] > 0]
    if rows:
        yield (
            f"In {len(better)} of {len(rows)} explanation checks the heat's peak hits the lesion more often than a "
            "guess at the middle of the head (95 % interval above 0)."
        )

"""Tables of what is no classification result: explanations, segmentation, 3-D, cost, the gate, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.measure.estimate import DASH, text
from training.results.tree import Entry, Material, short_titles

from .html import Table

#: Explanation checks, in the order of the table: key of the summary and column head.
CHECKS = {
    "hit": "pointing game",
    "hit_minus_control": "… minus centre prior",
    "energy": "energy in the mask",
    "energy_minus_control": "… minus centre prior",
    "mask_share": "mask's share of the head",
    "ratio": "heat in the lesion over the rest of the brain, median",
    "control_ratio": "… of the centre prior",
    "outside": "heat outside the head",
    "flip": "mirrored, rank correlation",
    "randomised": "weights shuffled, rank correlation",
    "deletion": "deletion (low is good)",
    "random_deletion": "deletion at random",
    "insertion": "insertion (high is good)",
}
#: Where the heat lies; whether it depends on what it should.
PLACE = (
    "hit",
    "hit_minus_control",
    "energy",
    "energy_minus_control",
    "mask_share",
    "ratio",
    "control_ratio",
    "outside",
)
SANITY = ("flip", "randomised", "deletion", "random_deletion", "insertion")
BRIEF = ("hit", "hit_minus_control", "ratio", "outside", "randomised")
#: Keys of a record that say how it was made rather than what was found.
_NO_FIGURE = {
    "format", "environment", "preprocess", "history", "training", "predictions", "seed", "sha256", "weights_sha256",
    "n", "units", "low", "high", "arguments", "recipe", "settings", "threshold_curve", "cases", "rows",
}  # fmt: skip


def explained(material: Material) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and summary of every explanation check: those inside result files, then those in files of their own."""
    kept = [e for e in material.entries if e.result.extra.get("explanation") and not e.random]
    found = [(_named(e), e.result.extra["explanation"]) for e in kept]
    for name, values in material.explanations.items():
        summary = values.get("explanation") or (values.get("extra") or {}).get("explanation") or values
        if any(k in summary for k in CHECKS):
            found.append((_record_name(name, values), summary))
    return found


def _named(entry: Entry) -> str:
    return f"{entry.title}, {entry.task}, {entry.where}"


def explanation_table(material: Material, checks: Sequence[str] = BRIEF) -> Table:
    """A line per model, a column per check; as given, those that a short table needs."""
    kept = {k: v for k, v in CHECKS.items() if k in checks}
    rows = []
    for name, found in explained(material):
        cells = (text(found.get(k), signed=k.endswith("control")) for k in kept)
        rows.append((name, str(found.get("images", DASH)), *cells))
    return Table(("model", "slices", *kept.values()), tuple(rows))


def drawn_lesions(material: Material) -> list[str]:
    """A sentence per model whose heat was looked at on drawn heads with a lesion."""
    said = []
    for name, values in material.explanations.items():
        for kind, ratios in (values.get("phantoms") or {}).items():
            kept = sorted(v for v in ratios if v is not None)
            if kept:
                said.append(
                    f"{_record_name(name, values)}: on {len(kept)} drawn heads with {kind}, heat in the lesion is "
                    f"{kept[0]:.2f} to {kept[-1]:.2f} times that in the rest of the brain."
                )
    return said


def explanation_sources_table(material: Material) -> Table:
    """The same by source, for every model: an edema, an infarct and a bleed are hit to different degrees."""
    rows = []
    for name, found in explained(material):
        for source, r in (found.get("by_source") or {}).items():
            values = [r.get(k) for k in ("hit", "hit_minus_control", "energy", "ratio")]
            cells = map(text, values)
            rows.append((name, source, str(r.get("images", DASH)), *cells))
    heads = ("model", "source", "slices", "pointing game", "… minus centre prior", "energy in the mask",
             "heat in the lesion over the rest")  # fmt: skip
    return Table(heads, tuple(rows))


def volume_table(entries: Sequence[Entry]) -> Table:
    """Whole patients: the 3-D network and what a slice model's slices add up to, on the same ones."""
    rows = []
    for e in entries:
        found, extra = e.result.metrics, e.result.extra
        point = found["at_threshold"]
        count = f"{found['units']} ({point['positives']})"
        alone = "; ".join(f"{s}: {text(r['called_positive'])} of {r['called_positive']['n']}"
                          for s, r in extra.get("one_class_sources", {}).items())  # fmt: skip
        rows.append((e.title, e.where, count, text(found["ranking"]["auroc"]), text(point["sensitivity"]),
                     text(point["specificity"]), alone or DASH,
                     text(e.result.data.get("seconds_per_image"), 2)))  # fmt: skip
    heads = ("model", "evaluated", "patients (positive)", "AUROC (95 %)", "sensitivity", "specificity",
             "called positive where every patient is", "s per series")  # fmt: skip
    return Table(heads, tuple(rows))


def segmentation_table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Each set of slices of a segmentation result: overlap where a lesion is, what is marked where none is."""
    keys = ("iou", "dice", "dice_patients", "lesions_found", "slices_marked", "marked_share_of_head")
    rows = []
    for name, values in records.items():
        for part, found in values.get("metrics", {}).items():
            if isinstance(found, Mapping) and "slices" in found:
                count = f"{found['slices']} ({found.get('patients', DASH)})"
                rows.append((_record_name(name, values), part, count, *(text(found.get(k)) for k in keys)))
    heads = ("model", "slices and class", "slices (patients)", "IoU (95 %)", "Dice", "Dice of patients",
             "lesions found", "slices with anything marked", "share of the head marked")  # fmt: skip
    return Table(heads, tuple(rows))


def record_table(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every figure of records whose form the report does not prescribe: file, measure, value with interval, n."""
    rows = []
    for name, values in records.items():
        body = values.get("metrics") if isinstance(values.get("metrics"), Mapping) else values
        label = _record_name(name, values)
        for path, value, count in _figures(body or {}):
            rows.append((label, path, value, count))
    return Table(("model", "measure", "value (95 %)", "n (patients)"), tuple(rows))


def _record_name(name: str, values: Mapping[str, Any]) -> str:
    """Title of the architecture a record names, with its protocol, else the file's name."""
    model = values.get("model") or {}
    model = model if isinstance(model, Mapping) else {"name": model}
    architecture = str(model.get("architecture") or values.get("architecture") or "")
    title = short_titles().get(architecture) or str(model.get("name") or "")
    data = values.get("data") or {}
    protocol = data.get("protocol") if isinstance(data, Mapping) else None
    return ", ".join(x for x in (title, str(protocol or "")) if x) + (f" ({name})" if title else "") or name


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


def benchmark_table(values: Mapping[str, Any]) -> Table:
    """The benchmark file as a table; Grad-CAM as a multiple of the forward pass of the same image."""
    base = next((r["latency_ms"] for r in values["rows"] if r["name"] == values.get("reference")), None)
    titles = short_titles()
    rows = []
    for r in values["rows"]:
        cams = (r.get(f"gradcam_{k}_ms") for k in ("head", "full", "hooks"))
        cells = [
            titles.get(r["name"], r["name"]), "×".join(map(str, r["input_shape"])), f"{r['parameters']:,}",
            text(r["gflops"], 1), f"{text(r['latency_ms'], 1)} / {text(r.get('latency_p90_ms'), 1)}",
            text(r["images_per_second"], 1), text(r["peak_memory_mb"], 0),
            " / ".join(text(None if c is None else c / r["latency_ms"], 2) for c in cams),
        ]  # fmt: skip
        rows.append((*cells, *([f"{r['latency_ms'] / base:.2f}"] if base else [])))
    heads = ("model", "input", "parameters", "GFLOPs", "ms per image: median / p90", "images/s", "peak MB",
             "Grad-CAM in forward passes: head only / whole graph / hooks")  # fmt: skip
    return Table((*heads, *([f"time, {values['reference']} = 1"] if base else [])), tuple(rows))


def benchmark_note(values: Mapping[str, Any]) -> str:
    """Where it was measured, how, and what was left out."""
    e, s = values["environment"], values.get("settings", {})
    note = (
        f"Measured on {e['hardware']}, {e['threads']} threads, device {e['device']}, torch {e['torch']}, float32, "
        f"random weights, up to {s.get('repeats', '?')} passes in {s.get('seconds', 0):g} s; throughput in batches of "
        f"up to {s.get('batch', '?')}. Peak memory is what the model and its forward passes add to a fresh process."
    )
    if (e.get("load") or 0) > 0.5:
        note += f" The machine was at a load of {e['load']:.1f} from other work when it began."
    left: dict[str, list[str]] = {}
    for r in values.get("skipped") or []:
        left.setdefault(r["why"], []).append(r["name"])
    return note + "".join(f" Left out: {', '.join(names)} ({why})." for why, names in left.items())


def gate_tables(record: Mapping[str, Any]) -> list[Table]:
    """Refusals of head CT, and acceptances of everything else."""
    heads = {"refused": "head CT, second half of the patients", "accepted": "no head CT slice with brain"}
    found = []
    for verb, title in heads.items():
        rows = []
        for rate in record[verb]:
            low, high = rate["interval"]
            share = {"value": rate["hits"] / max(rate["n"], 1), "low": low, "high": high}
            rows.append((rate["group"], str(rate["n"]), str(rate["hits"]), text(share, 1, percent=True)))
        found.append(Table((title, "n", verb, "share (95 % interval)"), tuple(rows)))
    return found


def experiments_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """How each result was made: the command, and how long training took on what."""
    cells = tuple(
        (str(r["cell"]), f"`{r.get('train', '')}`", text(float(r.get("training_seconds") or 0) / 60, 1),
         f"{r.get('trained_on', '')}; {r.get('hardware', '')}, {r.get('threads', '?')} threads")
        for r in rows
    )  # fmt: skip
    return Table(("result", "training command", "minutes", "trained on; evaluated on"), cells)


def not_run_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """What was not run, why, what stands in its place and how to run it."""
    cells = tuple((r["what"], r["why"], r.get("instead", DASH), r.get("command", DASH)) for r in rows)
    return Table(("not run", "why", "instead", "command"), cells)

"""`python -m training benchmark`: parameters, operations, latency, throughput and peak memory of zoo rows.

The command measures them to a file and prints the file as the table that the report shows too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from strokenext import zoo
from strokenext.saving import write_file
from training.environment import environment
from training.experiments.benchmark import FORMAT, Measured, Settings, benchmark
from training.measure.estimate import text
from training.measure.result import plain
from training.results.tree import short_titles

from .section import Table


def benchmark_table(values: Mapping[str, Any]) -> Table:
    """The benchmark file as a table; Grad-CAM as a multiple of the forward pass of the same image."""
    base = next((r["latency_ms"] for r in values["rows"] if r["name"] == values.get("reference")), None)
    titles = short_titles()

    def gradcam(r: Mapping[str, Any]) -> str:
        times = (r.get(f"gradcam_{k}_ms") for k in ("head", "full", "hooks"))
        return " / ".join(text(None if t is None else t / r["latency_ms"], 2) for t in times)

    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "model": lambda r: titles.get(r["name"], r["name"]),
        "input": lambda r: "×".join(map(str, r["input_shape"])),
        "parameters": lambda r: f"{r['parameters']:,}",
        "GFLOPs": lambda r: text(r["gflops"], 1),
        "ms per image: median / p90": lambda r: f"{text(r['latency_ms'], 1)} / {text(r.get('latency_p90_ms'), 1)}",
        "images/s": lambda r: text(r["images_per_second"], 1),
        "peak MB": lambda r: text(r["peak_memory_mb"], 0),
        "Grad-CAM in forward passes: head only / whole graph / hooks": gradcam,
    }
    if base:
        columns[f"time, {values['reference']} = 1"] = lambda r: text(r["latency_ms"] / base, 2)
    return Table.of(values["rows"], columns)


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


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    p = argparse.ArgumentParser(prog="python -m training benchmark", description=__doc__.splitlines()[0])
    p.add_argument("--models", nargs="+", metavar="NAME", help="zoo rows (default: all)")
    p.add_argument("--device", default="cpu")
    p.add_argument("--size", type=int, help="input side in pixels instead of each row's own")
    p.add_argument("--batch", type=int, default=8, help="largest for throughput (default: 8)")
    p.add_argument("--repeats", type=int, default=30, help="most passes for a time (default: 30)")
    p.add_argument("--seconds", type=float, default=1.0, help="after these no further pass, three at least")
    p.add_argument("--minutes", type=float, default=10.0, help="no row is begun after these (default: 10)")
    p.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    p.add_argument("--reference", metavar="NAME", default="resnet50", help="times are given as multiples of this row's")
    p.add_argument("--no-gradcam", action="store_false", dest="gradcam")
    same = "no process per model: faster, memory less exact"
    p.add_argument("--same-process", action="store_false", dest="isolated", help=same)
    p.add_argument("--out", type=Path, default=Path("results/benchmark.json"), help="JSON file")
    o = p.parse_args(argv)
    settings = Settings(**{f.name: getattr(o, f.name) for f in fields(Settings)})
    names = o.models or [r.name for r in zoo.list_models()]
    zoo.row(o.reference)
    names = names if o.reference in names else [o.reference, *names]
    where = environment(o.device) | {"load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
    where |= {"threads": o.threads or where["threads"]}
    rows, left = benchmark(names, settings, _tell, o.minutes)
    values = plain(
        {
            "format": FORMAT,
            "environment": where,
            "settings": asdict(settings),
            "reference": o.reference,
            "rows": [asdict(r) for r in rows],
            "skipped": left,
        }
    )
    print(benchmark_table(values).markdown() + "\n\n" + benchmark_note(values))
    o.out.parent.mkdir(parents=True, exist_ok=True)
    write_file(o.out, json.dumps(values, indent=1) + "\n")
    return 0


def _tell(name: str, outcome: Measured | str) -> None:
    what = f"left out, {outcome}" if isinstance(outcome, str) else f"{outcome.latency_ms:.1f} ms"
    print(f"{name}: {what}", file=sys.stderr)

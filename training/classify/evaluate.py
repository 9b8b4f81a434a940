"""`python -m training evaluate`: a checkpoint and a manifest to a result file.

Pixels go through the checkpoint's own preprocessing and the network as `strokenext.record.weights` verifies it.
Thresholds and temperature are those stored in the checkpoint: nothing is chosen on the data evaluated here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strokenext.errors import DataError, OptionError
from training.data.images import Views
from training.data.labels import class_name
from training.data.manifest import Manifest, Record, read_manifest
from training.environment import environment, sha256
from training.measure.estimate import text
from training.measure.measures import measure
from training.measure.result import Predictions, Result, read_result, write_result
from training.splits.held_out import evaluation_records
from training.splits.split import read_split
from training.train.provenance import training_record

if TYPE_CHECKING:
    from torch import nn

    from strokenext.preprocess.contract import Preprocess
    from strokenext.record.config import ModelConfig

Progress = Callable[[int, int], None]


def evaluate(
    folder: str | Path,
    manifest: Manifest,
    records: Sequence[Record],
    *,
    device: str = "cpu",
    batch: int = 32,
    draws: int = 1000,
    progress: Progress | None = None,
    data: dict[str, Any] | None = None,
    views: Views | None = None,
) -> Result:
    """The result of a checkpoint folder on labelled records. Raises DataError when none carries the task's label.

    `data` is what the result says of the data besides; `views` spares the decoding of pictures seen before.
    """
    from strokenext.record.weights import load_model

    model, config = load_model(folder, device)
    if config.task not in ("presence", "subtype"):
        raise DataError(f"{config.name} does {config.task}; evaluate takes models for presence or subtype.")
    chosen = [r for r in records if r.label(config.task) is not None]
    if not chosen:
        raise DataError(f"None of the {len(records)} images has a {config.task} label.")
    start = time.perf_counter()
    logits, seconds = predict(model, config.preprocess, views or Views(manifest), chosen, device, batch, progress)
    predictions = predictions_of(chosen, config.task, logits)
    about = {"n": len(chosen), "seconds_per_image": seconds, "seconds_in_all": time.perf_counter() - start}
    return Result(
        model=facts(config),
        data=(data or {}) | about,
        environment=environment(device),
        metrics=measure(predictions, config.threshold, config.temperature, draws=draws),
        predictions=predictions,
    )


def predict(
    model: nn.Module,
    preprocess: Preprocess,
    views: Views,
    records: Sequence[Record],
    device: str = "cpu",
    batch: int = 32,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float64], float]:
    """(N,) margins, positive minus negative logit, and the network's seconds per image without decoding."""
    import torch

    margins: list[float] = []
    seconds = 0.0
    for pixels in views.batches(records, preprocess, batch):
        x = torch.from_numpy(pixels).to(device)
        start = time.perf_counter()
        with torch.inference_mode():
            logits = model(x).float().cpu().double()
        seconds += time.perf_counter() - start
        margins += (logits[:, 1] - logits[:, 0]).tolist()
        if progress is not None:
            progress(len(margins), len(records))
    return np.array(margins), seconds / max(1, len(records))


def predictions_of(records: Sequence[Record], task: str, logits: NDArray[np.float64]) -> Predictions:
    """Records and their margins as columns."""
    return Predictions(
        paths=tuple(r.path for r in records),
        sources=tuple(r.source for r in records),
        units=tuple(r.unit for r in records),
        kinds=tuple(class_name(r) for r in records),
        types=tuple(str(r.extra.get("types", "")) for r in records),
        labels=np.array([r.label(task) for r in records], np.int64),
        logits=np.asarray(logits, np.float64),
    )


def facts(config: ModelConfig) -> dict[str, Any]:
    """What the result says of the model."""
    names = ("name", "architecture", "task", "classes", "threshold", "band", "temperature", "weights_sha256",
             "trained_on")  # fmt: skip
    return {n: getattr(config, n) for n in names} | {"preprocess": config.preprocess.to_dict()}


def parser() -> argparse.ArgumentParser:
    """The command's flags."""
    p = argparse.ArgumentParser(prog="python -m training evaluate", description=__doc__.splitlines()[0])
    p.add_argument("--model", help="checkpoint folder, bundled name or Hub id")
    p.add_argument("--manifest", type=Path)
    p.add_argument("--split", type=Path, help="split file; without it every labelled image is evaluated")
    p.add_argument("--part", default="test")
    p.add_argument("--source", action="append", default=[], help="only this source; repeat for several")
    p.add_argument("--run", type=Path, help="run the model came from: the result says how it was trained")
    p.add_argument("--away", type=int, default=0, metavar="N",
                   help="unlabelled slices N or more from every annotated one count as free of a lesion")  # fmt: skip
    p.add_argument("--random-labels", nargs="?", const="images", choices=("images", "patients"),
                   help="judge by the labels of a control run; with --run as that run had them")  # fmt: skip
    p.add_argument("--label-seed", type=int, default=1, help="seed of the control run, where no --run is given")
    p.add_argument("--out", type=Path, help="result file, JSON")
    p.add_argument("--device", default="cpu")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument(
        "--compare", type=Path, nargs="+", metavar="RESULT", help="compare result files, the first with each"
    )
    p.add_argument("--figures", type=Path, metavar="FOLDER", help="segmentation: draw overlays, which show patients")
    p.add_argument("--explain", action="store_true", help="also validate the heat maps, see `explain`")
    return p


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    o = parser().parse_args(argv)
    if o.compare:
        from training.measure.compare import compare, table

        print(table(compare([read_result(f) for f in o.compare])))
        return 0
    if not (o.model and o.manifest and o.out):
        raise DataError("Give --model, --manifest and --out, or --compare with result files.")
    _run(o)
    return 0


def _run(o: argparse.Namespace) -> None:
    from strokenext.record.find import resolve
    from training.terminal import progress_bar

    folder, one = resolve(o.model)
    if one.planes is not None or one.masks is not None:
        for flag in ("away", "random_labels", "explain"):
            if getattr(o, flag):
                raise OptionError(f"--{flag.replace('_', '-')} means nothing for {one.name}: it does not class single "
                                  "slices. Leave it away.")  # fmt: skip
    if one.planes is not None:
        from training.volumes.evaluate import run

        run(o, folder)
        return
    if one.masks is not None:
        from training.segment import evaluate as segment_results

        segment_results.run(o, folder)
        return
    manifest, split = read_manifest(o.manifest), read_split(o.split) if o.split else None
    if split is not None and split.task != one.task:
        raise DataError(f"{o.split} is a split for {split.task}, the model answers {one.task}.")
    data: dict[str, Any] = {"manifest": o.manifest.name, "manifest_sha256": sha256(o.manifest)}
    data |= {"split_sha256": sha256(o.split)} if o.split else {}
    manifest, records, about = evaluation_records(
        manifest,
        split,
        part=o.part,
        sources=o.source,
        away=o.away,
        training=training_record(o.run) if o.run else None,
        random_labels=o.random_labels,
        label_seed=o.label_seed,
    )
    with progress_bar("evaluate") as progress:
        result = evaluate(
            folder, manifest, records, device=o.device, batch=o.batch, progress=progress, data=data | about
        )
    if o.explain:
        from training.explain.check import explanation

        with progress_bar("explain") as progress:
            heat = explanation(folder, manifest, split, device=o.device, progress=progress)
        result = replace(result, extra={**result.extra, "explanation": heat})
    print(summary(result))
    print(f"written to {write_result(result, o.out)}")


def summary(result: Result) -> str:
    """The main figures, a line each."""
    ranking, point = result.metrics["ranking"], result.metrics["at_threshold"]

    lines = [
        f"{result.name}, {result.model['task']}: {result.metrics['slices']} slices, {result.metrics['units']} units"
    ]
    lines.append(f"  AUROC {text(ranking['auroc'])}  accuracy {text(point['accuracy'])}  F1 {point['f1_macro']:.3f}")
    lines.append(f"  sensitivity {text(point['sensitivity'])}  specificity {text(point['specificity'])}")
    for source, row in result.metrics["by_source"].items():
        lines.append(f"  {source}: n {row['n']}, positives {row['positives']}, AUROC {text(row['auroc'])}")
    return "\n".join(lines)

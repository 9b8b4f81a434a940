"""A segmentation checkpoint and a manifest to a result file; `python -m training evaluate` comes here for a U-Net.

Slices go through the reader and contract of a user's file, and masks are compared in the slice's own pixels. The scope
gate is passed by: every held-back slice counts. What is judged on what:
- sources with outlined edema: the edema, and the hematoma derived beside it (`hematoma`);
- evaluation-only sources with blood masks: the hematoma, as their annotators drew it;
- slices labelled normal, and slices of infarcts (which the model has no class for): whatever is marked is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from strokenext.errors import DataError
from strokenext.loader import load
from strokenext.preprocess.head import find_head
from strokenext.segment.segmenter import Segmenter
from strokenext.types import Gate, Slice, Window
from strokenext.windows import grey01
from training.classify.evaluate import facts
from training.data.images import open_image
from training.data.manifest import Manifest, Record, read_manifest
from training.environment import environment, sha256
from training.measure.estimate import text
from training.measure.result import plain
from training.splits.split import Split, read_split
from training.train.run import write_whole

from .planes import CLASSES, Truth, truth_of
from .scores import Counts, count, free_scores, lesion_scores

FORMAT = "strokenext-segmentation/1"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Seen:
    """A held-back slice and what is marked on it, in pixels: `counts` by class that it shows, `marked`, `head`."""

    record: Record
    external: bool
    counts: Mapping[str, Counts]
    marked: Mapping[str, int]
    head: int

    @property
    def any_marked(self) -> int:
        """Pixels marked as any class."""
        return sum(self.marked.values())


def judged_records(manifest: Manifest, split: Split | None, part: str) -> list[tuple[Record, bool]]:
    """The records that tell something by pixel: those of a part, then evaluation-only ones, with whether it is one."""
    own = split.records(manifest, part) if split is not None else [r for r in manifest if not r.evaluation_only]
    own = [r for r in own if not r.evaluation_only]
    found = [(r, False) for r in own] + [(r, True) for r in manifest if r.evaluation_only]
    kept = [(r, only) for r, only in found if r.presence == 0 or (r.presence == 1 and "mask" in r.extra)]
    if not any(r.presence == 1 for r, _ in kept):
        raise DataError("None of these slices has a mask to compare with. Prepare a source with masks.")
    return kept


def looked_at(
    segmenter: Segmenter, manifest: Manifest, records: Sequence[tuple[Record, bool]], progress: Progress | None = None
) -> Iterator[Seen]:
    """Every record as the model sees it. Raises DataError for a model of other classes."""
    if segmenter.classes != CLASSES:
        raise DataError(
            f"{segmenter.name} marks {', '.join(segmenter.classes)}; the masks are of {', '.join(CLASSES)}."
        )
    for done, (record, external) in enumerate(records, 1):
        image = open_image(manifest.file(record))
        found = segmenter.segment(image, force=True, gate=Gate(True))
        truth = truth_of(manifest, record, image)
        counts = {region.name: count(region.mask, truth.masks[k], truth.known[k])
                  for k, region in enumerate(found.regions) if _compared(record, truth, k)}  # fmt: skip
        marked = {region.name: region.pixels for region in found.regions}
        yield Seen(record, external, counts, marked, head_pixels(image))
        if progress is not None:
            progress(done, len(records))


def _compared(record: Record, truth: Truth, k: int) -> bool:
    """Whether a slice shows the class, so that overlap with it means something."""
    return record.presence == 1 and bool((truth.masks[k] & truth.known[k]).any())


def head_pixels(image: Slice) -> int:
    """How many pixels the head covers; the whole picture where none is found."""
    head = find_head(grey01(image, Window(80, 40)))
    return image.pixels.size if head is None else int(head.mask.sum())


def metrics_of(seen: Sequence[Seen], draws: int = 1000) -> dict[str, Any]:
    """Scores by set of slices: lesions of each source, normal slices, slices of infarcts."""
    found: dict[str, Any] = {}
    for title, group in _groups([s for s in seen if s.counts]).items():
        for name in CLASSES:
            chosen = [s for s in group if name in s.counts]
            if chosen:
                scores = lesion_scores([s.counts[name] for s in chosen], [s.record.unit for s in chosen], draws)
                found[f"{title}, {_truth_words(name, chosen)}"] = scores
    for title, wanted in (("normal slices", lambda r: r.presence == 0), ("infarcts", lambda r: r.subtype == 0)):
        for source, group in _groups([s for s in seen if wanted(s.record)]).items():
            units, heads = [s.record.unit for s in group], [s.head for s in group]
            found[f"{title}, {source}"] = free_scores([s.any_marked for s in group], heads, units, draws)
    return found


def _groups(seen: Sequence[Seen]) -> dict[str, list[Seen]]:
    found: dict[str, list[Seen]] = {}
    for s in seen:
        found.setdefault(f"unseen source {s.record.source}" if s.external else s.record.source, []).append(s)
    return found


def _truth_words(name: str, seen: Sequence[Seen]) -> str:
    """The class, and whether somebody drew it."""
    drawn = all(s.record.extra.get("mask_of") == "blood" for s in seen)
    return name if name != CLASSES[0] or drawn else f"{name} (derived beside the outlined edema)"


def cases_of(seen: Sequence[Seen]) -> dict[str, list[Any]]:
    """The slices as columns: pixels marked, true and both by class; None where the class was not compared."""
    columns: dict[str, list[Any]] = {"path": [s.record.path for s in seen], "unit": [s.record.unit for s in seen]}
    for name in CLASSES:
        columns[f"{name} marked"] = [s.marked[name] for s in seen]
        for key in ("true", "both", "lesions", "found"):
            columns[f"{name} {key}"] = [getattr(s.counts[name], key) if name in s.counts else None for s in seen]
    return columns


def evaluate_masks(
    segmenter: Segmenter, manifest: Manifest, split: Split | None, part: str = "test", *, draws: int = 1000,
    progress: Progress | None = None, data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The result of a segmentation model as plain JSON values."""
    records = judged_records(manifest, split, part)
    seen = list(looked_at(segmenter, manifest, records, progress))
    masks = segmenter.config.masks
    about = {"part": part, "n": len(seen), **(data or {})}
    about |= {} if split is None else {"protocol": split.protocol, "seed": split.seed}
    model = facts(segmenter.config) | {"masks": None if masks is None else masks.to_dict()}
    return {
        "format": FORMAT,
        "model": plain(model),
        "data": plain(about),
        "environment": environment(str(segmenter.device)),
        "metrics": plain(metrics_of(seen, draws)),
        "cases": plain(cases_of(seen)),
    }


def write(result: Mapping[str, Any], file: Path) -> Path:
    """The result as JSON, each column of cases on a line of its own."""
    body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in result["cases"].items())
    head = json.dumps({k: v for k, v in result.items() if k != "cases"}, indent=1, ensure_ascii=False)[:-2]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, f'{head},\n "cases": {{\n{body}\n }}\n}}\n')
    return file


def summary(metrics: Mapping[str, Any]) -> str:
    """The main figures, a line per set."""
    lines = []
    for title, m in metrics.items():
        if "dice" in m:
            lines.append(f"  {title}: {m['slices']} slices of {m['patients']} patients, Dice {text(m['dice'])}, IoU "
                         f"{text(m['iou'])}, lesions found {text(m['lesions_found'])}")  # fmt: skip
        else:
            lines.append(f"  {title}: {m['slices']} slices, something marked on {text(m['slices_marked'])}, "
                         f"{100 * m['marked_share_of_head']['value']:.2f} % of the head")  # fmt: skip
    return "\n".join(lines)


def run(o: argparse.Namespace, folder: Path) -> None:
    """`evaluate` for a segmentation model: write the result file, and overlays where `--figures` says."""
    from training.terminal import progress_bar
    from training.train.provenance import training_record

    manifest = read_manifest(o.manifest)
    if o.source:
        manifest = replace(manifest, records=tuple(r for r in manifest if r.source in o.source))
    split = read_split(o.split) if o.split else None
    data: dict[str, Any] = {"manifest": o.manifest.name, "manifest_sha256": sha256(o.manifest)}
    data |= {"split_sha256": sha256(o.split)} if o.split else {}
    data |= {"training": training_record(o.run)} if o.run else {}
    segmenter = load(folder, device=o.device, kind="segmentation")
    with progress_bar("evaluate") as progress:
        result = evaluate_masks(segmenter, manifest, split, o.part, progress=progress, data=data)
    print(f"{segmenter.name}, {len(result['cases']['path'])} slices\n{summary(result['metrics'])}")
    print(f"written to {write(result, o.out)}")
    if o.figures:
        from .overlays import draw_overlays

        print(f"overlays in {draw_overlays(segmenter, manifest, judged_records(manifest, split, o.part), o.figures)}")

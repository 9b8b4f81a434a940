"""A segmentation model on slices with masks, and on slices without a lesion: its result.

Slices go through the reader and contract of a user's file, and masks are compared in the slice's own pixels. The scope
gate is passed by: every held-out slice counts. What is compared with what:
- sources with outlined edema: the edema, and the hematoma derived beside it (`hematoma`);
- evaluation-only sources with blood masks: the hematoma, as their annotators drew it;
- evaluation-only sources with infarct masks: the infarct, as their annotators drew it;
- slices labelled normal: whatever is marked is wrong; on slices of infarcts so is what is not marked as one.

A model of the first classes only is compared with those.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from strokenext.errors import DataError
from strokenext.preprocess.head import find_head
from strokenext.record.config import ModelConfig
from strokenext.saving import write_file
from strokenext.segment.segmenter import Segmenter
from strokenext.types import Gate, Slice
from strokenext.windows import BRAIN, grey01
from training.data.images import open_image
from training.data.labels import EDEMA, INFARCT
from training.data.manifest import Manifest, Record
from training.environment import environment
from training.measure.estimate import text
from training.measure.result import facts, plain
from training.splits.split import Split
from training.train.evaluation import Evaluated, Evaluation

from .overlays import draw_overlays
from .planes import MASK_CLASSES, Truth, truth_of
from .scores import Counts, count, free_scores, lesion_scores

FORMAT = "strokenext-segmentation/1"


@dataclass(frozen=True, eq=False)
class SegmentationResult:
    """What a segmentation model marks on which slices; all but `cases` are plain JSON, as are its columns."""

    model: Mapping[str, Any]
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    cases: Mapping[str, Any]

    def write(self, file: Path) -> Path:
        """As JSON, each column of cases on a line of its own."""
        body = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in self.cases.items())
        record = {"format": FORMAT, **{k: v for k, v in vars(self).items() if k != "cases"}}
        head = json.dumps(record, indent=1, ensure_ascii=False)[:-2]
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, f'{head},\n "cases": {{\n{body}\n }}\n}}\n')
        return file

    def summary(self) -> str:
        """The main figures, a line per set."""
        lines = [f"{self.model['name']}, {len(self.cases['path'])} slices"]
        for title, m in self.metrics.items():
            if "dice" in m:
                overlap = f"Dice {text(m['dice'])}, IoU {text(m['iou'])}, lesions found {text(m['lesions_found'])}"
                lines.append(f"  {title}: {m['slices']} slices of {m['patients']} patients, {overlap}")
            else:
                marked = f"{text(m['slices_marked'])}, {100 * m['marked_share_of_head']['value']:.2f} % of the head"
                lines.append(f"  {title}: {m['slices']} slices, something marked on {marked}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class MarkedSlice:
    """A held-out slice and what is marked on it, in pixels: `counts` by class that it shows, `marked`, `head`."""

    record: Record
    counts: Mapping[str, Counts]
    marked: Mapping[str, int]
    head: int

    def wrongly_marked(self) -> int:
        """Pixels marked on a slice without a lesion, or as another class on one with an infarct."""
        own = {INFARCT} if self.record.subtype == 0 else set()
        return sum(pixels for name, pixels in self.marked.items() if name not in own)


def flags(group: argparse._ArgumentGroup) -> list[argparse.Action]:
    """What only segmentation models can be asked."""
    return [group.add_argument("--figures", type=Path, metavar="FOLDER", help="draw overlays, which show patients")]


def evaluate(model: nn.Module, config: ModelConfig, given: Evaluation) -> list[Evaluated]:
    """The result, and overlays where the evaluation asks for figures."""
    if given.sources:
        kept = tuple(r for r in given.manifest if r.source in given.sources)
        given = replace(given, manifest=replace(given.manifest, records=kept))
    segmenter = Segmenter(model, config, given.device)
    result = evaluate_masks(segmenter, given)
    if folder := given.own.get("figures"):
        records = comparable_records(given.manifest, given.split, given.part)
        print(f"overlays in {draw_overlays(segmenter, given.manifest, records, folder)}")
    return [Evaluated(result)]


def evaluate_masks(segmenter: Segmenter, given: Evaluation, draws: int = 1000) -> SegmentationResult:
    """The result of a segmentation model on the evaluation's records and on all evaluation-only ones."""
    records = comparable_records(given.manifest, given.split, given.part)
    slices = list(marked_slices(segmenter, given, records))
    masks, split = segmenter.config.masks, given.split
    about = {"part": given.part, "n": len(slices), **given.data}
    about |= {"training": given.training} if given.training else {}
    about |= {} if split is None else {"protocol": split.protocol, "seed": split.seed}
    return SegmentationResult(
        model=plain(facts(segmenter.config) | {"masks": None if masks is None else masks.to_dict()}),
        data=plain(about),
        environment=environment(str(segmenter.device)),
        metrics=plain(metrics_of(slices, draws)),
        cases=plain(cases_of(slices)),
    )


def comparable_records(manifest: Manifest, split: Split | None, part: str) -> list[Record]:
    """The records that tell something by pixel: those of a part, then evaluation-only ones."""
    own = split.records(manifest, part) if split is not None else tuple(manifest)
    records = [r for r in own if not r.evaluation_only] + [r for r in manifest if r.evaluation_only]
    kept = [r for r in records if r.presence == 0 or (r.presence == 1 and "mask" in r.extra)]
    if not any(r.presence == 1 for r in kept):
        raise DataError("None of these slices has a mask to compare with. Prepare a source with masks.")
    return kept


def marked_slices(segmenter: Segmenter, given: Evaluation, records: Sequence[Record]) -> Iterator[MarkedSlice]:
    """Every record as the model sees it. Raises DataError for a model of other classes."""
    if segmenter.classes != MASK_CLASSES[: len(segmenter.classes)]:
        raise DataError(
            f"{segmenter.name} marks {', '.join(segmenter.classes)}; the masks are of {', '.join(MASK_CLASSES)}."
        )
    for done, record in enumerate(records, 1):
        image = open_image(given.manifest.file(record))
        segmentation = segmenter.segment(image, force=True, gate=Gate(True))
        truth = truth_of(given.manifest, record, image)
        counts = {
            region.name: count(region.mask, truth.masks[k], truth.known[k])
            for k, region in enumerate(segmentation.regions)
            if _shows(record, truth, k)
        }
        marked = {region.name: region.pixels for region in segmentation.regions}
        yield MarkedSlice(record, counts, marked, head_pixels(image))
        if given.progress is not None:
            given.progress(done, len(records))


def _shows(record: Record, truth: Truth, k: int) -> bool:
    """Whether a slice shows the class, so that overlap with it means something."""
    return record.presence == 1 and bool((truth.masks[k] & truth.known[k]).any())


def head_pixels(image: Slice) -> int:
    """How many pixels the head covers; the whole picture where none is found."""
    head = find_head(grey01(image, BRAIN))
    return image.pixels.size if head is None else int(head.mask.sum())


def metrics_of(slices: Sequence[MarkedSlice], draws: int = 1000) -> dict[str, Any]:
    """Scores by set of slices: lesions of each source, normal slices, slices of infarcts."""
    metrics: dict[str, Any] = {}
    for title, group in _groups([s for s in slices if s.counts]).items():
        for name in MASK_CLASSES:
            chosen = [s for s in group if name in s.counts]
            if chosen:
                scores = lesion_scores([s.counts[name] for s in chosen], [s.record.unit for s in chosen], draws)
                metrics[f"{title}, {_class_title(name, chosen)}"] = scores
    for title, wanted in (
        ("normal slices", lambda r: r.presence == 0),
        ("infarcts, other marks", lambda r: r.subtype == 0),
    ):
        for source, group in _groups([s for s in slices if wanted(s.record)]).items():
            units, heads = [s.record.unit for s in group], [s.head for s in group]
            metrics[f"{title}, {source}"] = free_scores([s.wrongly_marked() for s in group], heads, units, draws)
    return metrics


def _groups(slices: Sequence[MarkedSlice]) -> dict[str, list[MarkedSlice]]:
    groups: dict[str, list[MarkedSlice]] = {}
    for s in slices:
        title = f"unseen source {s.record.source}" if s.record.evaluation_only else s.record.source
        groups.setdefault(title, []).append(s)
    return groups


def _class_title(name: str, slices: Sequence[MarkedSlice]) -> str:
    """The class, and whether somebody drew it."""
    drawn = all(s.record.extra.get("mask_of") != EDEMA for s in slices)
    return name if name != MASK_CLASSES[0] or drawn else f"{name} (derived beside the outlined edema)"


def cases_of(slices: Sequence[MarkedSlice]) -> dict[str, list[Any]]:
    """The slices as columns: pixels marked, true and both by class; None where the class was not compared."""
    columns: dict[str, list[Any]] = {"path": [s.record.path for s in slices], "unit": [s.record.unit for s in slices]}
    for name in MASK_CLASSES:
        columns[f"{name} marked"] = [s.marked.get(name) for s in slices]
        for key in ("true", "both", "lesions", "found"):
            columns[f"{name} {key}"] = [getattr(s.counts[name], key) if name in s.counts else None for s in slices]
    return columns

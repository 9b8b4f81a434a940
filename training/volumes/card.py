"""The card of a volume model: what it is, was trained on, does and does not do, from its own record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from strokenext import zoo
from strokenext.record.config import ModelConfig
from training.measure.estimate import text
from training.splits.split import Split
from training.train.card import RESULT_HEAD, front_matter, licences, result_row, source_title
from training.train.recipe import Recipe

from .feed import VolumesFeed

BLEEDS_ONLY = (
    "- **It knows bleeds only.** No ischemic stroke was trained on; a low probability says nothing about one.\n"
)
LIMITS = """\
- Read the intervals, not the values: a patient counts once, and few stand behind a row.
- Every slice is framed by itself, so the head's own shape along its axis is lost; thin subdural, small cortical and
  subarachnoid bleeds that show on one or two slices are missed easily.
- A {finding} is what slices say: a patient is positive when any slice was labelled with one.
- It knows two classes: tumours, surgery, calcification and motion have none and can be called a {finding}.
- It needs most of the head: a series with few slices that show brain is refused.
- Its evidence map is coarse and tells where the score rises, not where a lesion ends."""


@dataclass(frozen=True)
class Training:
    """What was trained on: `patients` by part; `finding` is what it learned to see; `one_class` are sources all of
    whose patients are of one class."""

    sentence: str
    sources: tuple[str, ...]
    patients: Mapping[str, int]
    finding: str
    one_class: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, feed: VolumesFeed, split: Split) -> Training:
        """Counted from the feed's patients."""
        train = feed.patients["train"]
        sources = tuple(sorted({p.source for p in train}))
        positive = sum(p.label == 1 for p in train)
        infarcts = sum(any(feed.cache.rows[i].subtype == 0 for i in p.rows) for p in train)
        kind = f"stroke, {infarcts} of them ischemic" if infarcts else "hemorrhage"
        sentence = (
            f"Whole head CT of {len(train)} patients ({positive} with a {kind}) from {', '.join(sources)}, parts of "
            "these heads, and bleeds simulated on the normal ones."
        ) + " No ischemic stroke was among them: it knows bleeds only." * (not infarcts)
        counts = {part: len(feed.patients.get(part, ())) for part in split.parts if part != "external"}
        return cls(sentence, sources, counts, "stroke" if infarcts else "bleed")


def write_card(config: ModelConfig, recipe: Recipe, training: Training) -> str:
    """Markdown with the Hub's front matter; every figure is from the record that lies beside it."""
    assert config.planes is not None
    depth, size = config.planes.depth, config.preprocess.size
    parts = ", ".join(f"{n} to {part}" for part, n in training.patients.items())
    return f"""{front_matter("image-classification", "volume")}
# {config.name}

Does this whole head CT show a {training.finding}: non-stroke or stroke.
**Experimental. Research use only. Not a medical device.**

{zoo.row(config.architecture).title}: the well-known Keras layout of four Conv3D blocks (after Zunair et al., arXiv
2007.13224), {depth} planes of {size} x {size} pixels made from the slices that the scope gate accepts. During training
it was also told where blood is (simulated bleeds) and on which slices (real ones); that part is not in the file.

## Trained on
{config.trained_on}
Sources: {"; ".join(map(source_title, training.sources))}. Whole patients were assigned before anything else: {parts}.

## Operating point
Calibrated probability = softmax(logits / {config.temperature:.3f}); threshold {config.threshold:.3f}; between
{config.band[0]:.3f} and {config.band[1]:.3f} the answer is "indeterminate". All chosen on validation patients.

## Results
A row counts patients as "slices". 95 % intervals by bootstrap over patients.

{RESULT_HEAD}
{chr(10).join(result_row(name, values) for name, values in config.metrics.items())}

{chr(10).join(_line(source, row, recipe, training.finding) for source, row in training.one_class.items())}

Made by `python -m training finish` from a run of the recipe `{recipe.name}`; the same numbers are in `config.json`.

## Limits
{BLEEDS_ONLY * (training.finding == "bleed")}{LIMITS.format(finding=training.finding)}

## Data licences
{licences(training.sources)}
"""


def _line(source: str, row: Mapping[str, Any], recipe: Recipe, finding: str) -> str:
    rate = row["called_positive"]
    what = f"all {'with' if row['label'] else 'without'} a {finding}"
    unseen = "" if source in recipe.sources or not recipe.sources else ", never trained on"
    return f"Source {source}, {what}{unseen}: {text(rate, 2)} of {rate['n']} patients called positive."

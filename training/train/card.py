"""What the model cards of every system share: front matter, published sources, result tables, data licences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from training.measure.estimate import card_text


class PublishedSource(NamedTuple):
    """A public data set by the name it has in a manifest: what it is, whether its scores were seen during
    development, and what its publishers ask of users."""

    title: str
    watched: bool = False
    terms: str = ""


PUBLISHED = {
    "ct_ich": PublishedSource(
        "PhysioNet ct-ich v1.0 (Hssayeni 2020), head injury", terms="ct-ich is under CC BY 4.0 (Data 2020, 5, 14)."
    ),
    "phe_sich": PublishedSource(
        "PHE-SICH-CT-IDS (Figshare 23957937, arXiv 2308.10521), spontaneous bleeds",
        terms='The authors of PHE-SICH-CT-IDS publish it "for non-commercial purpose" (arXiv 2308.10521).',
    ),
    "aisd": PublishedSource("AISD, acute ischemic stroke", watched=True),
    "mbh": PublishedSource("MBH, hemorrhages in a wide window", watched=True),
}

RESULT_HEAD = """\
| set | slices (positive) | groups | AUROC | sensitivity | specificity | sensitivity at specificity 0.85 |
|---|---|---|---|---|---|---|"""


def front_matter(pipeline: str, *tags: str) -> str:
    """The card's YAML head, as the Hub reads it."""
    return f"""---
library_name: strokenext
license: apache-2.0
pipeline_tag: {pipeline}
tags: [{", ".join(("medical", "ct", "stroke", *tags, "research-only"))}]
---"""


def source_title(name: str) -> str:
    """A source with its origin where that is known."""
    known = PUBLISHED.get(name)
    return f"{name} ({known.title if known else 'as prepared'})"


def never_trained_on(sources: Iterable[str]) -> str:
    """The sources that were kept for evaluation, and what was seen of them; empty where there is none."""
    names = list(sources)
    if not names:
        return ""
    watched = [n for n in names if n in PUBLISHED and PUBLISHED[n].watched]
    caveat = f"; the scores on {' and '.join(watched)} were watched while this project was developed" if watched else ""
    listed = ", ".join(map(source_title, names))
    return f"Never trained on: {listed}. No threshold, temperature or checkpoint is chosen by them{caveat}."


def licences(sources: Iterable[str]) -> str:
    """Whose terms the weights carry."""
    terms = [PUBLISHED[s].terms for s in sources if s in PUBLISHED and PUBLISHED[s].terms]
    rest = f"\n{' '.join(terms)} Whoever uses the weights should respect them." if terms else ""
    return (
        "The weights are released under Apache-2.0 by this project; the data they were trained on keep their "
        f"publishers' terms.{rest}"
    )


def result_row(name: str, m: Mapping[str, Any]) -> str:
    """One line below RESULT_HEAD."""
    return (
        f"| {name} | {m['slices']} ({m['positives']}) | {m['groups']} | {card_text(m['auroc'], m['groups'])} | "
        f"{m['sensitivity']:.2f} | {m['specificity']:.2f} | {m['sensitivity_at_specificity_0.85']:.2f} |"
    )

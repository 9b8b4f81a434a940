"""Which records of a part are evaluated and under which label: as labelled, far from an annotation, or permuted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from strokenext.errors import DataError
from training.data.manifest import Manifest, Record

from .random_labels import random_labels
from .split import Split

#: Parts whose labels a control permutes together.
PERMUTED = ("train", "validation", "test")


def records_of(manifest: Manifest, split: Split, part: str, away: int = 0) -> tuple[Record, ...]:
    """The part's records in the split's order, then, with `away`, its unlabelled ones taken as free of a lesion."""
    listed = split.records(manifest, part) if part in split.parts else ()
    return (*listed, *far_from_lesions(manifest, split, part, away))


def far_from_lesions(manifest: Manifest, split: Split, part: str, away: int) -> tuple[Record, ...]:
    """Unlabelled slices at least `away` slices from every annotated one, as presence 0; none when `away` is 0.

    They belong to the part that alone holds the labelled slices of their patient or group, so nothing leaks.
    """
    if not away:
        return ()
    known = manifest.by_path()
    groups = {p: {known[path].group for path in paths if path in known} for p, paths in split.parts.items()}
    elsewhere = set().union(*(g for p, g in groups.items() if p != part))
    mine = groups.get(part, set()) - elsewhere
    return tuple(
        replace(r, presence=0)
        for r in manifest
        if r.presence is None and int(r.extra.get("away", -1)) >= away and r.group in mine
    )


def permuted(manifest: Manifest, split: Split, kind: str, seed: int, sources: Sequence[str] = ()) -> Manifest:
    """The manifest under a random-label control's labels, those that a run with this seed was trained on.

    `kind` is "images" or "patients". Records outside training, validation and test lose their label.
    Raises DataError for another kind.
    """
    if kind not in ("images", "patients"):
        raise DataError(f"Labels are permuted among images or among patients, not '{kind}'.")
    paths = {p for part in PERMUTED for p in split.parts.get(part, ())}
    rows = [r for r in manifest.labelled(split.task) if r.path in paths and (not sources or r.source in sources)]
    units = [r.unit for r in rows] if kind == "patients" else None
    names = [r.path for r in rows]
    drawn = random_labels(names, [r.label(split.task) or 0 for r in rows], seed, units)
    given = dict(zip(names, drawn.tolist(), strict=True))
    return Manifest(manifest.root, tuple(_under(r, given.get(r.path), split.task) for r in manifest), manifest.about)


def evaluation_records(
    manifest: Manifest,
    split: Split | None,
    *,
    part: str = "test",
    sources: Sequence[str] = (),
    away: int = 0,
    training: Mapping[str, Any] | None = None,
    random_labels: str | None = None,
    label_seed: int = 1,
) -> tuple[Manifest, Sequence[Record], dict[str, Any]]:
    """The manifest with the labels to evaluate by, the records to evaluate, and what the result says of both.

    `training` is the record of the model's run (`training.train.provenance`): one trained on permuted labels is
    evaluated by the same permutation, whether or not that was asked for.
    Raises DataError where permuted labels are asked for without a split.
    """
    data: dict[str, Any] = {}
    trained_on: Sequence[str] = ()
    if training is not None:
        data["training"], recipe = training, training["recipe"]
        random_labels, label_seed = recipe.get("random_labels", random_labels), training["seed"]
        trained_on = recipe.get("sources", ())
    if random_labels:
        if split is None:
            raise DataError("Labels are permuted within a split; give --split.")
        manifest = permuted(manifest, split, random_labels, label_seed, trained_on)
        data["control"] = f"random labels, permuted among {random_labels}"
    records: Sequence[Record] = tuple(manifest)
    if split is not None:
        records = records_of(manifest, split, part, away)
        data |= {"protocol": split.protocol, "seed": split.seed, "part": part}
    if away:
        data["away_negatives"] = away
    if sources:
        records = [r for r in records if r.source in sources]
    return manifest, records, data


def _under(record: Record, label: int | None, task: str) -> Record:
    """The record with this label of the task and nothing else known of what it shows."""
    extra = {k: v for k, v in record.extra.items() if k not in ("types", "mask", "mask_of", "lesion_pixels")}
    if task == "presence":
        return replace(record, presence=label, subtype=None, extra=extra)
    return replace(record, presence=None if label is None else 1, subtype=label, extra=extra)

"""Splits hold together what belongs together, and the audit finds a planted leak."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.errors import DataError
from tests.helpers.places import SHARED
from training.__main__ import main
from training.data.forms import read
from training.data.manifest import Manifest, Record, write_manifest
from training.splits import protocols as splits
from training.splits.assign import FRACTIONS, assign_patients
from training.splits.audit import audit
from training.splits.split import Split, read_split


def manifest_of(sizes: list[tuple[int, int, str]], evaluation: int = 0) -> Manifest:
    """One patient per (slices, positives, source); the last `evaluation` patients are for evaluation only."""
    rows = []
    for p, (n, positives, source) in enumerate(sizes):
        only = p >= len(sizes) - evaluation
        for i in range(n):
            label = int(i < positives)
            name = f"{source}/p{p}"
            rows.append(
                Record(
                    f"{p:03d}_{i:03d}.png",
                    source,
                    label,
                    1 if label else None,
                    name,
                    name,
                    f"{p:032d}{i:032d}",
                    f"{p * 1000 + i:016x}",
                    (8, 8),
                    only,
                )
            )
    return Manifest(Path("/nowhere"), tuple(rows))


patients = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 6), st.sampled_from(["a", "b"])), min_size=12, max_size=40
).filter(lambda rows: sum(min(n, k) for n, k, _ in rows) > 3)


@settings(max_examples=40, deadline=None)
@given(patients, st.integers(0, 5))
def test_grouped_split_is_a_partition_and_never_leaks(sizes: list[tuple[int, int, str]], seed: int) -> None:
    manifest = manifest_of(sizes, evaluation=2)
    split = splits.grouped(manifest, seed=seed)
    everything = sorted(p for paths in split.parts.values() for p in paths)
    assert everything == sorted(r.path for r in manifest)
    assert not any(leak.leaks for leak in audit(manifest, split, pixels=False))
    assert {r.evaluation_only for r in split.records(manifest, "external")} == {True}
    assert split == splits.grouped(manifest, seed=seed)


@settings(max_examples=20, deadline=None)
@given(patients)
def test_every_group_is_tested_once_over_the_folds(sizes: list[tuple[int, int, str]]) -> None:
    manifest = manifest_of(sizes)
    folds = splits.kfold(manifest, 3)
    tested = sorted(p for f in folds for p in f.parts["test"])
    assert tested == sorted(r.path for r in manifest)
    assert not any(leak.leaks for f in folds for leak in audit(manifest, f, pixels=False))


def test_fractions_and_strata_of_many_patients() -> None:
    rng = np.random.default_rng(0)
    manifest = manifest_of([(int(rng.integers(5, 15)), int(rng.integers(0, 5)), "ab"[i % 2]) for i in range(100)])
    split = splits.grouped(manifest)
    for part, fraction in FRACTIONS.items():
        rows = split.records(manifest, part)
        assert len(rows) / len(manifest) == pytest.approx(fraction, abs=0.02)
        rate = np.mean([r.presence for r in rows])
        assert rate == pytest.approx(np.mean([r.presence for r in manifest]), abs=0.05)
    assert split.parts != splits.grouped(manifest, seed=1).parts


def test_image_level_is_80_10_10_by_class_and_leaks_by_design() -> None:
    manifest = manifest_of([(10, 5, "a")] * 20)
    split = splits.image_level(manifest)
    assert {p: len(v) for p, v in split.parts.items()} == {"train": 160, "validation": 20, "test": 20}
    assert sum(r.presence for r in split.records(manifest, "test")) == 10
    assert any(leak.shared["patients"] for leak in audit(manifest, split, pixels=False))


def test_patients_are_dealt_source_by_source_whatever_their_labels() -> None:
    manifest = manifest_of([(3, 1, "a")] * 50 + [(4, 0, "b")] * 20, evaluation=2)
    hidden = tuple(replace(r, presence=None, subtype=None) if r.path.endswith("_002.png") else r for r in manifest)
    split = splits.patients(replace(manifest, records=hidden))
    part = split.part_of()
    of = {r.patient: part[r.path] for r in hidden if r.path in part and not r.evaluation_only}
    assert all(part[r.path] == of[r.patient] for r in hidden if r.patient in of)  # unlabelled slices too
    counts = [[v for k, v in of.items() if str(k).startswith(s)].count(p) for s in "ab" for p in FRACTIONS]
    assert counts == [35, 6, 9, 13, 2, 3]  # 70/12/18 of 50 and of 18
    assert not any(leak.leaks for leak in audit(manifest, split, pixels=False))
    even = splits.patients(manifest, seed=1, fractions={"train": 0.5, "validation": 0.25, "test": 0.25})
    assert len(even.parts["train"]) == 25 * 3 + 9 * 4


def test_a_copy_of_another_patients_slice_keeps_both_patients_together() -> None:
    manifest = manifest_of([(3, 1, "a")] * 40)
    joined = tuple(replace(r, group="a/p3") if r.patient in ("a/p3", "a/p7") else r for r in manifest)
    split = splits.patients(replace(manifest, records=joined))
    part = split.part_of()
    assert len({part[r.path] for r in joined if r.group == "a/p3"}) == 1
    apart = splits.patients(manifest).part_of()
    assert all(part[r.path] == apart[r.path] for r in manifest if r.patient != "a/p7")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data ../shared/data is not here")
@pytest.mark.parametrize(("source", "fingerprint"), [("ct_ich", "885b18c7cbc492b3"), ("phe_sich", "752feba9248d48c5")])
def test_the_bundled_models_patients_keep_their_parts(source: str, fingerprint: str) -> None:
    """The first models were trained on these patients; a test patient must never become a training patient."""
    names = {str(f.patient).split("/")[1] for f in read(source, SHARED / source).images}
    lines = "\n".join(f"{name}:{part}" for name, part in sorted(assign_patients(names).items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == fingerprint


def test_shares_by_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = manifest_of([(5, 2, "a")] * 40)
    file = write_manifest(Manifest(tmp_path, manifest.records), tmp_path / "manifest.jsonl")
    command = ["split", "--manifest", str(file), "--out", str(tmp_path / "s.json"), "--fractions"]
    for protocol in ("image", "grouped", "patients"):
        assert main([*command, "0.5,0.25,0.25", "--protocol", protocol]) == 0
        assert [len(p) for p in read_split(tmp_path / "s.json").parts.values()] == [100, 50, 50]
    assert main([*command, "0.5,0.25,0.25", "--protocol", "kfold"]) != 0
    assert "shares of its own" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "0.5,0.4,0.4"])


def test_leave_one_source_out() -> None:
    manifest = manifest_of([(5, 2, "a")] * 10 + [(5, 2, "b")] * 10)
    split = splits.leave_source_out(manifest, "b")
    assert {r.source for r in split.records(manifest, "test")} == {"b"}
    assert {r.source for p in ("train", "validation") for r in split.records(manifest, p)} == {"a"}
    with pytest.raises(DataError, match="No labelled image of source 'c'"):
        splits.leave_source_out(manifest, "c")


def test_one_near_copy_across_sources_is_kept_out_of_training() -> None:
    manifest = manifest_of([(5, 2, "a")] * 10 + [(5, 2, "b")] * 10)
    joined = replace(manifest, records=tuple(replace(r, group="b/p10") if r.patient == "a/p0" else r for r in manifest))
    split = splits.leave_source_out(joined, "b")
    assert not any(r.patient == "a/p0" for p in ("train", "validation") for r in split.records(joined, p))


def test_published_parts() -> None:
    base = manifest_of([(4, 2, "a")] * 3)
    names = {"a/p0": "train", "a/p1": "validation", "a/p2": "test"}
    manifest = replace(base, records=tuple(replace(r, extra={"part": names[r.patient or ""]}) for r in base))
    assert [len(p) for p in splits.published(manifest).parts.values()] == [4, 4, 4]
    with pytest.raises(DataError, match="no train and test folders"):
        splits.published(base)


def test_the_audit_command_fails_on_a_planted_leak(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = manifest_of([(5, 2, "a")] * 20)
    file = write_manifest(Manifest(tmp_path, manifest.records), tmp_path / "manifest.jsonl")
    out = tmp_path / "split.json"
    assert main(["split", "--manifest", str(file), "--protocol", "grouped", "--out", str(out)]) == 0
    assert main(["audit", "--manifest", str(file), str(out), "--no-pixels"]) == 0
    values = json.loads(out.read_text())
    values["parts"]["test"].append(values["parts"]["train"].pop())  # one slice of a training patient
    out.write_text(json.dumps(values))
    assert main(["audit", "--manifest", str(file), str(out), "--no-pixels"]) == 1
    assert "1 patients" in capsys.readouterr().out


def test_the_audit_finds_a_near_copy_that_the_manifest_calls_another_patient(tmp_path: Path) -> None:
    import cv2

    from strokenext.types import Slice
    from tests.training.data.test_prepare import picture
    from training.data.duplicates import fingerprint

    rows = []
    for i, image in enumerate(
        (picture(1), cv2.resize(picture(1), (120, 120), interpolation=cv2.INTER_AREA), picture(2))
    ):
        cv2.imencode(".png", image)[1].tofile(tmp_path / f"{i}.png")
        hash_ = fingerprint(Slice(image.astype(np.float32), "grey")).phash
        rows.append(Record(f"{i}.png", "s", i % 2, None, f"s/{i}", f"s/{i}", str(i), f"{hash_:016x}"))
    split = Split("grouped", "presence", 0, True, {"train": ("0.png", "2.png"), "test": ("1.png",)})
    leak = audit(Manifest(tmp_path, tuple(rows)), split)[0]
    assert leak.shared == {"paths": 0, "patients": 0, "groups": 0, "identical files": 0, "near duplicates": 1}
    assert leak.examples["near duplicates"] == "0.png and 1.png"


def test_damaged_split_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no split file"):
        read_split(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="not a strokenext-split/1 file"):
        read_split(tmp_path / "x.json")

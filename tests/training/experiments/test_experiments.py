"""From folders to result files on drawn heads: prepare, split, cache, train, finish, evaluate, explain, index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import strokenext
from strokenext.errors import DataError, OptionError
from training.__main__ import main
from training.cache.store import open_cache
from training.data.manifest import Manifest, Record, read_manifest
from training.drawing.phantom.head import head_phantom
from training.experiments.plan import RECIPES, read_plan
from training.measure.result import read_result
from training.splits.held_out import far_from_lesions, permuted, records_of
from training.splits.protocols import image_level
from training.splits.split import Split, read_split, write_split
from training.systems import make_feed
from training.train.recipe import Recipe

pytest.importorskip("training.classify", reason="the package's plans train classifiers of slices")
PLANS = RECIPES.parent / "plans"
PLAN = """
recipe = "toy"
[[group]]
protocols = ["grouped"]
models = ["custom_cnn"]
explain = 3
"""
RECIPE = """
size = 48
batch = 8
epochs = 1
epoch_images = 32
warmup = 1
precision = "float32"
"""


def draw(folder: Path, patients: int = 10) -> Path:
    """Three slices of each drawn patient as 8-bit brain windows, half of them with a bleed and its mask."""
    lines = ["image,label,patient,mask"]
    for p in range(patients):
        for i, level in enumerate((0.2, 0.3, 0.4)):
            kind = "hemorrhage" if p % 2 else "normal"
            phantom = head_phantom(kind, size=96, seed=p, level=level)
            grey = np.clip(phantom.hu / 80 * 255, 0, 255).astype(np.uint8)
            name, mask = f"{p:02d}_{i}.png", ""
            (folder / "masks").mkdir(parents=True, exist_ok=True)
            if phantom.lesion.any():
                mask = f"masks/{name}"
                cv2.imwrite(str(folder / mask), phantom.lesion.astype(np.uint8) * 255)
            cv2.imwrite(str(folder / name), grey)
            lines.append(f"{name},{'hemorrhagic' if p % 2 else 'normal'},p{p},{mask}")
    (folder / "slices.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plan run once."""
    folder = tmp_path_factory.mktemp("experiments")
    draw(folder / "drawn")
    (folder / "plan.toml").write_text(PLAN)
    (folder / "toy.toml").write_text(RECIPE)
    sources = ["--source", f"drawn={folder / 'drawn'}", "--out", str(folder / "data"), "--no-sheets"]
    assert main(["prepare", *sources]) == 0
    assert main(command(folder)) == 0
    return folder


def command(folder: Path, *more: str) -> list[str]:
    return [
        "experiments",
        str(folder / "plan.toml"),
        "--manifest",
        str(folder / "data" / "manifest.jsonl"),
        "--work",
        str(folder / "runs"),
        "--results",
        str(folder / "results"),
        *more,
    ]


def test_each_cell_leaves_its_result_where_its_name_says(work: Path) -> None:
    found = read_result(work / "results" / "presence" / "grouped" / "custom_cnn.json")
    assert found.model["architecture"] == "custom_cnn"
    assert found.data["protocol"] == "grouped"
    training = found.data["training"]
    assert (training["epochs"], training["steps"], training["size"]) == (1, 4, 48)
    assert training["history"][0]["validation"]["loss"] > 0
    assert training["seconds"] > 0
    assert training["recipe"]["model"] == "custom_cnn"
    assert "validation" in found.extra["rows"]
    assert found.extra["explanation"]["images"] == 3
    assert found.extra["explanation"]["masks_of"] == ["blood"]
    assert (work / "results" / "presence" / "grouped" / "custom_cnn.json").stat().st_size < 150_000


def test_the_test_part_alone_was_judged(work: Path) -> None:
    found = read_result(work / "results" / "presence" / "grouped" / "custom_cnn.json")
    split = read_split(work / "runs" / "splits" / "presence-grouped-0.json")
    assert set(found.predictions.paths) == set(split.parts["test"])
    assert not set(found.predictions.paths) & set(split.parts["train"])


def test_the_control_is_judged_by_the_labels_it_was_trained_on(work: Path) -> None:
    manifest = read_manifest(work / "data" / "manifest.jsonl")
    split = image_level(manifest, seed=4)
    write_split(split, work / "image.json")
    recipe = Recipe(name="control", size=48, random_labels="patients", seed=7)
    cache = open_cache(work / "runs" / "cache-head-80-40")
    feed: Any = make_feed(recipe, cache, split, "cpu")
    trained = {cache.rows[i].path: label for i, label in feed.labels.items()}
    folder = work / "runs" / "models" / "presence" / "grouped" / "custom_cnn"
    words = [
        "evaluate",
        "--model",
        str(folder),
        "--manifest",
        str(work / "data" / "manifest.jsonl"),
        "--split",
        str(work / "image.json"),
        "--random-labels",
        "patients",
        "--label-seed",
        "7",
    ]
    assert main([*words, "--out", str(work / "control.json")]) == 0
    found = read_result(work / "control.json")
    assert "random" in found.data["control"]
    assert found.predictions.labels.tolist() == [trained[p] for p in found.predictions.paths]
    assert set(found.predictions.types) == {""}
    label_of = dict(zip(found.predictions.units, found.predictions.labels.tolist(), strict=True))
    assert [label_of[u] for u in found.predictions.units] == found.predictions.labels.tolist()  # one for each patient


def test_the_index_names_every_cell_with_its_recipe_and_time(work: Path) -> None:
    entries = json.loads((work / "results" / "experiments.json").read_text())["experiments"]
    assert [e["cell"] for e in entries] == ["presence/grouped/custom_cnn"]
    assert entries[0]["seconds"]["train"] > 0
    assert entries[0]["hardware"]
    assert str(work) not in entries[0]["train"]
    assert entries[0]["recipe"]["size"] == 48


def test_a_finished_cell_is_not_run_again(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = work / "results" / "presence" / "grouped" / "custom_cnn.json"
    before = file.stat().st_mtime_ns
    assert main(command(work)) == 0
    assert file.stat().st_mtime_ns == before
    assert "has its result" in capsys.readouterr().out
    assert main(command(work, "--again")) == 0
    said = capsys.readouterr().out
    assert "was trained before" in said
    assert "1 of 1 cells have their result" in said
    assert file.stat().st_mtime_ns > before
    assert main(command(work, "--dry-run", "--only", "*/grouped/*")) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 1
    assert listed[0].startswith("done")
    assert main(command(work, "--only", "nothing*")) == OptionError.exit_code


def test_the_model_folder_loads_and_predicts(work: Path) -> None:
    folder = work / "runs" / "models" / "presence" / "grouped" / "custom_cnn"
    predictor = strokenext.load(str(folder), device="cpu")
    found = predictor.predict(head_phantom("hemorrhage", size=128, seed=3, level=0.3).as_slice(), force=True)
    assert 0 <= (found.probability or -1) <= 1
    assert found.heat is not None
    card = (folder / "README.md").read_text()
    for words in ("Custom CNN", "48 pixels", "trained from scratch", "Research use only", "none was ischemic"):
        assert words in card


def test_finish_refuses_another_split(work: Path) -> None:
    write_split(image_level(read_manifest(work / "data" / "manifest.jsonl")), work / "other.json")
    other = str(work / "other.json")
    run = str(work / "runs" / "runs" / "presence" / "grouped" / "custom_cnn")
    words = ["finish", run, "--manifest", str(work / "data" / "manifest.jsonl"), "--into", str(work / "m")]
    assert main([*words, "--split", other]) == DataError.exit_code
    assert not (work / "m").exists()


@pytest.mark.parametrize("file", sorted(PLANS.glob("*.toml")), ids=lambda f: f.stem)
def test_every_plan_of_the_package_can_be_read(file: Path) -> None:
    plan = read_plan(file)
    assert plan.name == file.stem
    assert len({c.name for c in plan.cells}) == len(plan.cells)
    assert all(plan.cost.get(c.model, 1) > 0 for c in plan.cells)


def test_the_cpu_plan_holds_the_matrix_that_was_asked_for() -> None:
    names = {c.name for c in read_plan(PLANS / "cpu.toml").cells}
    models = (
        "strokenext_atto",
        "mobilenetv2",
        "vgg16",
        "resnet50",
        "resnet152",
        "swin_tiny",
        "convnext_base",
        "custom_cnn",
        "small_cnn",
        "resnet50_frozen",
    )
    assert {f"presence/{p}/{m}" for p in ("image", "grouped") for m in models} <= names
    for m in ("strokenext_atto", "resnet50"):
        assert {f"presence/{p}-random-labels/{m}" for p in ("image", "grouped")} <= names
        assert {f"presence/source-{s}/{m}" for s in ("ct_ich", "phe_sich")} <= names


def test_a_plan_that_nobody_can_run_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text('recipe = "paper-cpu"\n[[group]]\nmodels = ["resnet50"]\nprotocol = ["image"]\n')
    with pytest.raises(OptionError, match="unknown key 'protocol'"):
        read_plan(tmp_path / "p.toml")
    (tmp_path / "p.toml").write_text('recipe = "none-such"\n[[group]]\nmodels = ["resnet50"]\n')
    with pytest.raises(OptionError, match=r"the package has: .*paper-cpu"):
        read_plan(tmp_path / "p.toml")


def slices(patient: str, count: int, shown: int) -> list[Record]:
    """Slices of a patient of which one is annotated; `away` as `prepare` notes it."""
    return [
        Record(
            f"{patient}{i}",
            "s",
            1 if i == shown else None,
            1 if i == shown else None,
            patient,
            patient,
            extra={"away": abs(i - shown)},
        )
        for i in range(count)
    ]


def test_slices_far_from_an_annotated_one_are_free_only_in_the_part_of_their_patient() -> None:
    manifest = Manifest(Path(), (*slices("a", 6, 0), *slices("b", 6, 0)))
    split = Split("grouped", "presence", 0, True, {"train": ("a0",), "test": ("b0",)})
    far = far_from_lesions(manifest, split, "test", 3)
    assert [r.path for r in far] == ["b3", "b4", "b5"]
    assert {r.presence for r in far} == {0}
    assert [r.path for r in records_of(manifest, split, "test")] == ["b0"]
    both = Split("image", "presence", 0, False, {"train": ("a0",), "test": ("b0", "a1")})
    assert [r.path for r in far_from_lesions(manifest, both, "train", 3)] == []  # a's slices stand in two parts


def test_permuted_labels_leave_other_parts_without_any() -> None:
    rows = tuple(Record(f"{i}", "s", i % 2, i % 2 or None, f"p{i}", f"p{i}") for i in range(20))
    names = [r.path for r in rows]
    split = Split(
        "image",
        "presence",
        0,
        False,
        {"train": tuple(names[:12]), "test": tuple(names[12:16]), "external": tuple(names[16:])},
    )
    found = permuted(Manifest(Path(), rows), split, "images", 1).records
    assert sum(r.presence for r in found[:16]) == 8
    assert {r.presence for r in found[16:]} == {None}
    assert {r.subtype for r in found} == {None}
    with pytest.raises(DataError, match="not 'hospitals'"):
        permuted(Manifest(Path(), rows), split, "hospitals", 1)

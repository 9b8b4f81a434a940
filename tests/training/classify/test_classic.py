"""The classic systems by commands alone: class folders of JPGs to a model that answers, as a newcomer would go.

A tree `data/{train,validation,test}/<class>/` of small phantoms, grey and RGB; two epochs at 64 pixels. What is learned
in them is not the point, and no number of accuracy is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import strokenext
from strokenext import cli, windows
from strokenext.types import Window
from tests.helpers.places import RECIPES
from training.__main__ import main
from training.classify.objective import Classify
from training.drawing.phantom.head import head_phantom
from training.measure.result import read_result
from training.report import figures
from training.results.tree import entry_of
from training.train.feed import Batch
from training.train.recipe import Recipe, read_recipe
from training.train.run import read_history

KINDS = {"Hemorrhagic": "hemorrhage", "Ischemic": "infarct", "Normal": "normal"}
COUNTS = {"train": 4, "validation": 3, "test": 3}
#: Small enough for seconds on one core.
SMALL = ("size=64", "batch=8", "epochs=2")


def recipe(name: str) -> Recipe:
    return read_recipe(RECIPES / f"{name}.toml")


def command(*arguments: object) -> None:
    assert main([str(a) for a in arguments]) == 0


def train(name: str, tree: Path, task: str, run: Path, *changes: str, cache: str = "cache") -> Path:
    sets = [part for change in changes for part in ("--set", change)]
    command(
        "train",
        RECIPES / f"{name}.toml",
        "--cache",
        tree / cache,
        "--split",
        tree / f"{task}.json",
        "--run",
        run,
        "--device",
        "cpu",
        *sets,
    )
    return run


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The class folders, prepared, split as they were published, cached as whole squares and by contour."""
    folder, seed = tmp_path_factory.mktemp("classic"), 0
    for part, count in COUNTS.items():
        for name, kind in KINDS.items():
            (folder / "data" / part / name).mkdir(parents=True)
            for i in range(count):
                seed += 1
                grey = windows.apply(head_phantom(kind, 96, seed, 0.15 + 0.05 * i).hu, Window(80, 40))
                picture = Image.fromarray(np.rint(grey * 255).astype(np.uint8))
                (picture.convert("RGB") if i % 2 else picture).save(folder / "data" / part / name / f"{seed}.jpg")
    manifest = folder / "prepared" / "manifest.jsonl"
    command("prepare", "--source", f"mine={folder / 'data'}", "--out", manifest.parent)
    for task in ("presence", "subtype"):
        command(
            "split", "--manifest", manifest, "--protocol", "published", "--task", task, "--out", folder / f"{task}.json"
        )
    command("cache", manifest, folder / "cache", "--frame", "square", "--size", 64)
    command("cache", manifest, folder / "cache-contour", "--frame", "contour", "--size", 64)
    return folder


def test_the_published_folders_are_the_parts(tree: Path) -> None:
    """Twelve presence pictures per four-a-class training folder; subtype leaves the normal ones out."""
    for task, classes in (("presence", 3), ("subtype", 2)):
        parts = json.loads((tree / f"{task}.json").read_text())["parts"]
        assert {name: len(paths) for name, paths in parts.items()} == {k: classes * n for k, n in COUNTS.items()}
        assert all(path.startswith(f"{name}/") or f"/{name}/" in path for name in parts for path in parts[name])


def test_custom_cnn_from_class_folders_to_an_answer(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("custom-cnn", tree, "subtype", tmp_path / "run", *SMALL)
    assert {f.name for f in run.iterdir()} >= {"run.json", "history.jsonl", "last.pt", "best.pt", "curves.png"}
    assert [line["epoch"] for line in read_history(run)] == [1, 2]
    assert all({"loss", "accuracy", "rate", "validation"} <= set(line) for line in read_history(run))

    manifest, model, result = tree / "prepared" / "manifest.jsonl", tmp_path / "my-cnn", tmp_path / "result.json"
    command("finish", run, "--manifest", manifest, "--split", tree / "subtype.json", "--into", model)
    command("evaluate", "--model", model, "--manifest", manifest, "--split", tree / "subtype.json", "--out", result)
    found = read_result(result)
    assert (len(found.predictions), found.model["architecture"]) == (6, "custom_cnn")
    assert np.sum(found.metrics["at_threshold"]["confusion"]) == 6
    assert {Path(p).parent.name for p in found.predictions.paths} == {"Hemorrhagic", "Ischemic"}

    command("scores", result, "--out", tmp_path / "figures")
    assert {f.name for f in (tmp_path / "figures").iterdir()} == {"confusion.png", "roc.png"}
    (axes,) = figures.confusion([entry_of(read_result(result), ())]).axes
    counts = sum(int(text.get_text().splitlines()[0]) for text in axes.texts)
    assert counts == 6
    assert [t.get_text() for t in axes.get_xticklabels()] == ["ischemic", "hemorrhagic"]

    command("figure", model, "--manifest", manifest, "--split", tree / "subtype.json", "--out", tmp_path / "batch.png")
    assert "6 slices" in capsys.readouterr().out
    slice_ = next((tree / "data" / "test" / "Hemorrhagic").glob("*.jpg"))
    assert cli.main(["predict", str(slice_), "--model", str(model), "--force"]) == 0  # it asks what the model answers
    assert "probability of hemorrhagic" in capsys.readouterr().out
    assert strokenext.load(model).predict(slice_, force=True).heat.grid == (8, 8)


def test_detection_keeps_the_best_epoch_and_its_preparation(tree: Path, tmp_path: Path) -> None:
    """The VGG16 recipe with a light network in its place: 134 million parameters are counted in test_zoo.py."""
    light = ("model=custom_cnn", "pretrained=false", "warmup=0")
    run = train("vgg16-detection", tree, "presence", tmp_path / "run", *SMALL, *light, cache="cache-contour")
    accuracy = [line["validation"]["accuracy"] for line in read_history(run)]
    best = torch.load(run / "best.pt", weights_only=True)
    assert best["epoch"] == 1 + int(np.argmax(accuracy))
    model = tmp_path / "detection"
    command(
        "finish",
        run,
        "--manifest",
        tree / "prepared" / "manifest.jsonl",
        "--split",
        tree / "presence.json",
        "--into",
        model,
    )
    assert json.loads((model / "config.json").read_text())["preprocess"]["frame"] == "contour"
    predicted = strokenext.load(model).predict(head_phantom("hemorrhage", 96).as_slice())
    assert predicted.provenance.preprocess["frame"] == "contour"


def test_a_cache_of_another_frame_is_named_with_the_remedy(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        [
            "train",
            str(RECIPES / "vgg16-detection.toml"),
            "--cache",
            str(tree / "cache"),
            "--split",
            str(tree / "presence.json"),
            "--run",
            str(tree / "never"),
            "--set",
            "pretrained=false",
        ]
    )
    assert code > 0
    assert "--frame contour" in capsys.readouterr().err
    assert not (tree / "never").exists()


def test_small_cnn_stops_early(tree: Path, tmp_path: Path) -> None:
    """At rate 0 no epoch is better than the first: with a patience of 2 the third is the last of ten."""
    run = train(
        "small-cnn",
        tree,
        "presence",
        tmp_path / "run",
        "batch=4",
        "epoch_images=4",
        "epochs=10",
        "patience=2",
        "rate=0.0",
    )
    assert len(read_history(run)) == 3
    assert torch.load(run / "best.pt", weights_only=True)["epoch"] == 1


def test_small_cnn_is_the_one_described() -> None:
    """183,682 parameters behind 256 pixels of grey levels 0..1, Adam, cross-entropy, flips and rotations alone."""
    found = recipe("small-cnn")
    assert sum(p.numel() for p in Classify(found).model.parameters()) == 183_682
    assert (found.size, found.channels, found.optimiser, found.label_smoothing) == (256, "plain", "adam", 0.0)
    changed = {k for k, v in vars(found.augment).items() if v}
    assert changed <= {"flip", "rotate", "window"}
    assert found.patience > 0


def test_only_the_new_head_of_the_frozen_resnet_learns() -> None:
    found = recipe("resnet50-frozen")
    assert found.pretrained
    assert found.patience > 0
    objective = Classify(found.override(pretrained=False))
    before = {k: v.clone() for k, v in objective.model.state_dict().items() if k.startswith("body.")}
    objective.module.train()
    loss, _ = objective.loss(objective.module, Batch(torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])), 0)
    loss.backward()
    learning = {n.partition(".")[0] for n, p in objective.module.named_parameters() if p.grad is not None}
    assert learning == {"classifier"}
    after = objective.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())  # batch norm's statistics too


@pytest.mark.parametrize(
    ("name", "model", "task", "frame"),
    [
        ("custom-cnn", "custom_cnn", "subtype", "square"),
        ("small-cnn", "small_cnn", "presence", "square"),
        ("resnet50-frozen", "resnet50_frozen", "presence", "square"),
        ("vgg16-detection", "vgg16", "presence", "contour"),
    ],
)
def test_each_recipe_reads_and_says_what_it_trains(name: str, model: str, task: str, frame: str) -> None:
    found = recipe(name)
    assert (found.model, found.task, found.frame, found.objective, found.feed) == (
        model,
        task,
        frame,
        "classify",
        "pictures",
    )
    assert found.optimiser == "adam"
    assert (found.augment.flip, found.augment.rotate > 0) == (0.5, True)
    assert (found.augment.contrast > 0) == (name in ("custom-cnn", "vgg16-detection"))

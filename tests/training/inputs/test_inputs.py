"""Pictures in other windows, heads that lie turned in their own data, and the rates that are made of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from strokenext.loader import load
from strokenext.preprocess import orientation as found
from strokenext.slice.predictor import Predictor
from strokenext.types import Slice, Window
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache, build
from training.data.manifest import Manifest, Record
from training.drawing.phantom.head import head_phantom
from training.gate.variations import VARIATIONS, unvaried
from training.inputs import orientation
from training.inputs.exported import exported
from training.inputs.familiar import experience
from training.inputs.measures import likeness, turns
from training.inputs.windows import filled_hu, through


def drawn(folder: Path, patients: int, upside_down: tuple[int, ...] = ()) -> Manifest:
    """Two slices of each patient as brain-window pictures."""
    records = []
    for p in range(patients):
        for i, level in enumerate((0.35, 0.5)):
            grey = np.clip(head_phantom("normal", 128, p, level).hu / 80 * 255, 0, 255).astype(np.uint8)
            grey = grey[::-1, ::-1] if p in upside_down else grey
            cv2.imwrite(str(folder / f"{p}_{i}.png"), grey)
            records.append(Record(f"{p}_{i}.png", "s", 0, None, f"s/{p}", f"s/{p}", size=(128, 128)))
    return Manifest(folder, tuple(records))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    folder = tmp_path_factory.mktemp("drawn")
    return build(drawn(folder, 6, upside_down=(4,)), folder / "cache", SLICE_PLANES)


@pytest.fixture(scope="module")
def bundled() -> list[Predictor]:
    """The bundled models."""
    tasks = ("presence", "subtype")
    return [load(None, task=task, device="cpu", kind="slice") for task in tasks]


def test_a_picture_in_the_brain_window_is_filled_to_hu() -> None:
    phantom = head_phantom("hemorrhage", seed=3, level=0.4)
    own = through(phantom.as_slice(), Window(80, 40))
    hu = filled_hu(own.pixels / 255)
    inner = phantom.brain & (phantom.hu > 5) & (phantom.hu < 75)
    assert np.abs(hu - phantom.hu)[inner].mean() < 3
    assert np.median(hu[phantom.hu > 600]) > 200
    assert np.median(hu[phantom.hu < -900]) < -900
    wide = through(Slice(own.pixels, "grey"), Window(400, 40)).pixels
    real = through(phantom.as_slice(), Window(400, 40)).pixels
    assert np.abs(wide - real)[inner].mean() < 3


def test_the_first_view_of_an_augmented_slice_is_the_upright_one(cache: Cache) -> None:
    views = orientation.augmented(cache.planes[0, 0], np.random.default_rng(0))
    assert views.shape == (found.TURNS, found.SIDE, found.SIDE)
    turned = np.rot90(views[0], 1)  # a quarter turn anticlockwise is three steps of the views
    errors = [float(np.abs(turned - view).mean()) for view in views]
    assert int(np.argmin(errors)) == 3


def test_patients_that_lie_upside_down_are_found_by_a_network_that_knows_up(cache: Cache) -> None:
    net = found._loaded()
    assert orientation.upside_down(net, cache, orientation.usable(cache, {f"s/{p}" for p in range(6)})) == {"s/4"}


def test_learning_comes_nearer_to_up(cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(orientation, "EPOCHS", (6, 40))
    monkeypatch.setattr(orientation, "BATCH", 6)
    rows = orientation.usable(cache, {"s/0", "s/1", "s/2"})
    net = orientation.learn(cache, rows)

    def loss(one: nn.Module) -> float:
        views = torch.from_numpy(orientation.augmented(cache.planes[rows[0], 0], np.random.default_rng(1)))
        with torch.inference_mode():
            return float(nn.functional.cross_entropy(one(views[:, None]).T, torch.tensor([0])))

    torch.manual_seed(0)
    assert loss(net) < loss(found.network().eval()) - 0.5
    orientation.write(net, tmp_path / "o.safetensors")
    assert (tmp_path / "o.safetensors").stat().st_size < 200_000


def test_rates_of_known_and_of_turned_pictures(tmp_path: Path) -> None:
    manifest = drawn(tmp_path, 5)
    records = list(manifest)
    known = experience(manifest, records[:8], records[8:])
    assert known is not None
    assert known.units == ("grey",)
    images = [
        Slice(cv2.imread(str(manifest.file(r)), cv2.IMREAD_GRAYSCALE).astype(np.float32), "grey") for r in records
    ]
    rows = {
        rate.group: rate for rate in likeness(known, {"s": images}, {"HU": [head_phantom("normal", 128, 9).as_slice()]})
    }
    assert rows["s"].n == 10
    assert rows["all, in another window"].n == 10
    assert rows["HU, with HU"].record()["hits"] == 1  # there was none with HU to learn from
    turned = list(turns(list(zip(records, images, strict=True))))
    assert {rate.group for rate in turned} >= {
        "upright, s, slice by slice: wrong",
        "90 degrees, s, slice by slice: wrong",
    }
    assert turned[0].record()["hits"] == 0


def test_what_an_export_changes_is_counted_against_the_answer_before_it(bundled: list[Predictor]) -> None:
    images = [through(head_phantom("hemorrhage", 256, seed, 0.4).as_slice(), Window(80, 40)) for seed in range(4)]
    rates = {rate.group: rate for rate in exported(bundled, {"s": images, "HU": [head_phantom().as_slice()]})}
    assert set(rates) == {f"{m.task}, {name}" for m in bundled for name in list(VARIATIONS)[1:]}
    for rate in rates.values():
        assert rate.n + rate.codes["refused"] == 4  # what has HU is no picture that was exported
        assert rate.codes["turned into the opposite"] <= rate.hits <= rate.n
        assert rate.codes["changed without a new caution"] <= rate.hits
    name = "border"
    flips = 0
    for seed, image in enumerate(images):
        number = list(VARIATIONS).index(name)
        grey = VARIATIONS[name](unvaried(image.pixels.copy()), np.random.default_rng((seed, number))).grey
        one = bundled[0].predict(Slice(grey, "grey", kind="png"), explain=False)
        flips += one.decision != bundled[0].predict(image, explain=False).decision
    assert rates[f"presence, {name}"].hits == flips


def test_without_a_picture_that_the_gate_accepts_there_is_no_experience(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((128, 128), np.uint8))
    blank = Record("a.png", "s", 0, None, "s/1", "s/1", size=(128, 128))
    assert experience(Manifest(tmp_path, (blank,)), [blank], [blank]) is None

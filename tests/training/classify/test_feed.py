"""Feeds: an example depends on seed and position alone; held-back ones are what a user's file would be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from strokenext.errors import DataError
from strokenext.preprocess.contract import BRAIN_LEVEL, Preprocess
from training.cache.planes import SLICE_PLANES
from training.cache.store import Cache, build
from training.classify.lesions import LesionsFeed
from training.classify.pictures import PicturesFeed
from training.data.images import open_image
from training.data.manifest import Manifest, Record
from training.drawing import batch_augment as ta
from training.drawing.batch_augment import Augment
from training.drawing.phantom.head import head_phantom
from training.splits.protocols import patients
from training.splits.split import Split
from training.systems import make_feed
from training.train.feed import Batch, parts_of, shard
from training.train.recipe import Mixture, Recipe

STILL = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Source a: 8 patients with a normal and (half of them) a bleeding slice; b: 4 with a bleeding and two
    unlabelled slices, one near it and one far; an external ischemic one."""
    root, records = tmp_path_factory.mktemp("slices"), []
    bases = {k: head_phantom(k, size=144, seed=3, noise=False).hu for k in ("normal", "hemorrhage", "infarct")}

    def add(name: str, kind: Any, seed: int, presence: int | None, subtype: int | None, **extra: int) -> None:
        rng = np.random.default_rng(seed)  # heads that differ in size, place and grain
        warp = np.array([[rng.uniform(0.85, 1), 0, rng.uniform(0, 12)], [0, rng.uniform(0.85, 1), rng.uniform(0, 12)]])
        hu = cv2.warpAffine(bases[kind], warp, (144, 144), borderValue=-1000) + rng.normal(0, 4, (144, 144))
        cv2.imencode(".png", np.rint(np.clip(hu / 80, 0, 1) * 255).astype(np.uint8))[1].tofile(root / f"{name}.png")
        source, who = name[0], name[:2]
        records.append(
            Record(
                f"{name}.png",
                source,
                presence,
                subtype,
                f"{source}/{who}",
                f"{source}/{who}",
                name,
                "0" * 16,
                (144, 144),
                source == "x",
                extra,
            )
        )

    for p in range(8):
        add(f"a{p}n", "normal", p, 0, None)
        if p % 2:
            add(f"a{p}h", "hemorrhage", p, 1, 1)
    for p in range(4):
        add(f"b{p}h", "hemorrhage", 20 + p, 1, 1, away=0)
        add(f"b{p}m", "normal", 20 + p, None, None, away=1)
        add(f"b{p}f", "normal", 20 + p, None, None, away=5)
    add("x0i", "infarct", 30, 1, 0)
    return Manifest(root, tuple(records))


@pytest.fixture(scope="module")
def cache(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return build(manifest, tmp_path_factory.mktemp("cache"), SLICE_PLANES)


@pytest.fixture(scope="module")
def split(manifest: Manifest) -> Split:
    return patients(manifest, fractions={"train": 0.5, "validation": 0.25, "test": 0.25})


def recipe(**given: Any) -> Recipe:
    return Recipe(**{"name": "t", "size": 96, "batch": 6, "frame": "head", "level": True, **given})


def equal(a: Batch, b: Batch) -> bool:
    """But for rounding, which the number of pictures convolved together changes."""
    pairs = [(getattr(a, k), getattr(b, k)) for k in ("pixels", "labels", "soft", "dense", "known")]
    return all(p is q is None or torch.allclose(p.float(), q.float(), atol=1e-4) for p, q in pairs)


def joined(parts: list[Batch]) -> Batch:
    def cat(name: str) -> Any:
        values = [getattr(p, name) for p in parts]
        return None if values[0] is None else torch.cat(values)

    return Batch(*(cat(k) for k in ("pixels", "labels", "soft", "dense", "known")))


@pytest.mark.parametrize("mix", [{}, {"mixup": 0.4, "cutmix": 1.0}, {"feed": "lesions", "away_negatives": 3}])
def test_a_step_is_the_same_after_a_break_and_over_processes(cache: Cache, split: Split, mix: dict[str, Any]) -> None:
    feed = make_feed(recipe(**mix), cache, split, "cpu")
    if isinstance(feed, LesionsFeed):
        feed.workers = 0
    whole = list(feed.batches(0, 3))
    assert [len(b.pixels) for b in whole] == [6, 6, 6]
    assert whole[0].pixels.shape == (6, 3, 96, 96)
    assert all(equal(a, b) for a, b in zip(feed.batches(1, 3), whole[1:], strict=True))
    shards = [next(feed.batches(2, 3, rank=r, world=4)) for r in range(4)]
    assert equal(joined(shards), whole[2])
    assert not torch.equal(whole[0].pixels, whole[1].pixels)


def test_shards_are_contiguous_and_complete() -> None:
    assert [list(shard(2, 5, r, 2)) for r in range(2)] == [[10, 11], [12, 13, 14]]


def test_without_augmentation_a_training_picture_is_the_held_back_one(cache: Cache, split: Split) -> None:
    feed = PicturesFeed(recipe(augment=STILL, balance=False), cache, split, CPU)
    held = next(feed.held_out("train").batches(feed.images))
    drawn = feed.rows_at(range(feed.images))
    order = [list(feed.rows).index(r) for r in drawn]
    rest = [b.pixels for b in feed.batches(0, feed.images // 6)]
    count = sum(len(r) for r in rest)
    assert torch.allclose(torch.cat(rest), held.pixels[order[:count]], atol=2e-4)


@pytest.mark.parametrize(("size", "grey", "worst"), [(224, 0.002, 0.01), (128, 0.012, 0.02)])
def test_held_back_pixels_are_those_of_a_users_file(
    manifest: Manifest, cache: Cache, split: Split, size: int, grey: float, worst: float
) -> None:
    """To the rounding of cached bytes at the cached size; below it, to the resampling. First channel, undone."""
    held = PicturesFeed(recipe(size=size), cache, split, CPU).held_out("test")
    contract = Preprocess(size, (80.0, 40.0), "head", True, "stroke")
    got = torch.cat([b.pixels for b in held])[:, 0] * 0.3 + 0.35
    want = torch.stack([torch.from_numpy(contract.framed(open_image(manifest.root / p)).grey) for p in held.paths])
    error = (got - want).abs()
    assert error.mean() < grey
    assert error.mean(dim=(1, 2)).max() < worst


def test_parts_and_labels_of_rows_without_a_label(manifest: Manifest, cache: Cache, split: Split) -> None:
    parts = dict(zip([r.path for r in cache.rows], parts_of(cache, split), strict=True))
    assert parts["x0i.png"] == "external"
    feed = PicturesFeed(recipe(away_negatives=3), cache, split, CPU)
    for part in ("validation", "test"):
        names = {Path(p).stem[0] + Path(p).stem[2] for p in feed.held_out(part).paths}
        assert "bm" not in names  # near a bleed: nobody knows
        assert ("bf" in names) == (part == "validation")  # far from it: presumed free of blood, never in a test
    without = PicturesFeed(recipe(), cache, split, CPU)
    assert feed.images == without.images + 2  # the far slices of the two training patients of b


def test_rows_the_split_leaves_out_go_with_their_group(manifest: Manifest, cache: Cache) -> None:
    listed = Split(
        "grouped",
        "subtype",
        3,
        True,
        {"train": ("a1h.png", "b0h.png"), "validation": ("a3h.png",), "test": ("b1h.png",)},
    )
    parts = dict(zip([r.path for r in cache.rows], parts_of(cache, listed), strict=True))
    assert (parts["a1n.png"], parts["a3n.png"], parts["b1f.png"]) == ("train", "validation", "test")
    never = Counter(parts[f"a{p}n.png"] for p in (0, 2, 4, 6)) + Counter(parts[f"b{p}f.png"] for p in (2, 3))
    assert set(never) <= {"train", "validation", "test"}
    assert sum(never.values()) == 6
    left = replace(listed, protocol="source", parts={"train": ("a1h.png",), "test": ("b0h.png", "b1h.png")})
    parts = dict(zip([r.path for r in cache.rows], parts_of(cache, left), strict=True))
    assert {parts[f"b{p}f.png"] for p in range(4)} == {"test"}
    assert "test" not in {parts[f"a{p}n.png"] for p in range(8)}
    with pytest.raises(DataError, match="not in the cache"):
        parts_of(cache, replace(listed, parts={"train": ("gone.png",)}))


def test_every_image_once_a_pass_and_classes_evenly_within_a_source(cache: Cache, split: Split) -> None:
    feed = PicturesFeed(recipe(balance=False, away_negatives=3), cache, split, CPU)
    passes = [feed.rows_at(range(k * feed.images, (k + 1) * feed.images)) for k in (0, 1)]
    assert all(sorted(p) == sorted(feed.rows) for p in passes)
    assert list(passes[0]) != list(passes[1])
    even = PicturesFeed(recipe(away_negatives=3), cache, split, CPU)
    drawn = even.rows_at(range(200 * even.images))
    share = Counter((cache.rows[i].source, even.labels[int(i)]) for i in drawn)
    assert share["a", 1] / (share["a", 0] + share["a", 1]) == pytest.approx(0.5, abs=0.02)
    sources = Counter(cache.rows[i].source for i in even.rows)
    assert (share["a", 0] + share["a", 1]) / len(drawn) == pytest.approx(sources["a"] / even.images, abs=0.02)


def test_mixed_targets_follow_the_pixels(cache: Cache, split: Split) -> None:
    feed = PicturesFeed(recipe(cutmix=1.0, balance=True), cache, split, CPU)
    batch = next(feed.batches(0, 1))
    assert batch.soft is not None
    assert torch.allclose(batch.soft.sum(dim=1), torch.ones(6))
    black, white = torch.zeros(40, 1, 32, 32), torch.ones(40, 1, 32, 32)
    first, second = torch.eye(2)[torch.zeros(40, dtype=torch.long)], torch.eye(2)[torch.ones(40, dtype=torch.long)]
    numbers = ta.uniform(0, range(40), 5)
    for mixup, cutmix in ((0.5, 0.0), (0.0, 1.0), (0.5, 1.0)):
        grey, soft = ta.mixed(black, white, first, second, numbers, mixup, cutmix)
        assert torch.allclose(grey.mean(dim=(1, 2, 3)), soft[:, 1], atol=1e-5)  # as much white as the target says
        assert 0.2 < soft[:, 1].mean() < 0.8


def test_random_labels_permute_and_keep_the_pictures(cache: Cache, split: Split) -> None:
    true, control = (PicturesFeed(recipe(random_labels=how), cache, split, CPU) for how in ("", "images"))
    inside = [i for i in true.labels if true.parts[i] != "external"]
    assert sorted(control.labels) == sorted(inside)
    assert Counter(control.labels.values()) == Counter(true.labels[i] for i in inside)
    assert control.labels != {i: true.labels[i] for i in inside}


def test_numbers_are_even_and_independent_of_company() -> None:
    u = ta.uniform(7, range(4000), 6)
    assert np.array_equal(u[1234:1236], ta.uniform(7, [1234, 1235], 6))
    assert np.abs(u.mean(axis=0) - 0.5).max() < 0.02
    assert np.abs(np.corrcoef(u.T) - np.eye(6)).max() < 0.06
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 0.05
    assert not np.array_equal(u, ta.uniform(8, range(4000), 6))
    noise = ta.grain(torch.tensor([1, 2, 1]), 64)
    assert torch.equal(noise[0], noise[2])
    assert abs(float(noise.mean())) < 0.05
    assert float(noise.std()) == pytest.approx(1, abs=0.05)
    assert abs(float((noise[0, 0, :, 1:] * noise[0, 0, :, :-1]).mean())) < 0.06


def test_geometry_flips_left_and_right_and_turns_by_degrees() -> None:
    blob = torch.zeros(200, 1, 64, 64)
    blob[:, :, 10:14, 40:44] = 1  # up and to the right
    drawn = ta.Augmentation.draw(0, range(200), replace(STILL, flip=0.5), 80.0)
    out = drawn.apply(blob, torch.zeros_like(blob), 64, False)
    upper, right = out[:, :, :32].sum(dim=(1, 2, 3)), out[..., 32:].sum(dim=(1, 2, 3))
    assert torch.allclose(upper, torch.full((200,), 16.0), atol=0.1)  # never upside down
    assert float((right > 8).float().mean()) == pytest.approx(0.5, abs=0.1)
    drawn = ta.Augmentation.draw(0, range(200), replace(STILL, rotate=20.0), 80.0)
    out = drawn.apply(blob, torch.zeros_like(blob), 64, False)[:, 0]
    at = torch.stack([(out.sum(dim=d) * (torch.arange(64) - 31.5)).sum(1) / out.sum((1, 2)) for d in (1, 2)])
    turned = torch.rad2deg(torch.atan2(at[1], at[0])) - float(np.degrees(np.arctan2(11.5 - 31.5, 41.5 - 31.5)))
    assert turned.abs().max() == pytest.approx(20, abs=1.5)
    assert turned.min() < -15
    assert turned.max() > 15


def test_another_window_moves_hounsfield_units_and_the_brain_is_levelled_back() -> None:
    flat = torch.full((300, 1, 32, 32), 0.45)  # 36 HU
    flat[..., :4] = 0
    inner = torch.zeros_like(flat)
    inner[..., 8:24, 8:24] = 1
    drawn = ta.Augmentation.draw(1, range(300), replace(STILL, window=8.0), 80.0)
    plain = drawn.apply(flat, inner, 32, False)
    low, high = (torch.from_numpy(v).float() * 80 for v in (drawn.low, drawn.high))
    assert low.abs().max() <= 8
    assert (high - 80).abs().max() <= 8
    assert torch.allclose(plain[:, 0, 16, 16], (36 - low) / (high - low), atol=1e-5)
    assert not plain[..., :3].any()  # air stays black
    again = drawn.apply(flat, inner, 32, True)[:, 0, 16, 16]
    assert float(again.median()) == pytest.approx(BRAIN_LEVEL, abs=0.01)
    assert float(again.std()) == pytest.approx(BRAIN_LEVEL * ta.LEVEL_ERROR, rel=0.25)


def test_erasing_blurring_and_noise_do_what_they_say() -> None:
    flat = torch.full((100, 1, 64, 64), 0.5)
    erased = ta.Augmentation.draw(2, range(100), replace(STILL, erase=0.5), 80.0).apply(flat, flat, 64, False)
    gone = (erased == 0).float().mean(dim=(1, 2, 3))
    assert float((gone > 0).float().mean()) == pytest.approx(0.5, abs=0.15)
    assert gone.max() <= 0.33**2
    noisy = ta.Augmentation.draw(2, range(100), replace(STILL, noise=0.05), 80.0).apply(flat, flat, 64, False)
    assert noisy.std(dim=(1, 2, 3)).max() == pytest.approx(0.05, rel=0.1)
    point = torch.zeros(3, 1, 33, 33)
    point[..., 16, 16] = 1
    soft = ta.softened(point, np.array([0.8, 1.0, 2.0]))[:, 0]
    spread = ((soft * (torch.arange(33.0) - 16) ** 2).sum(dim=(1, 2))).sqrt()
    assert torch.allclose(spread, torch.tensor([0.8, 1.0, 2.0]), rtol=0.05)


def test_lesions_feed_holds_real_and_simulated_validation_and_only_real_tests(cache: Cache, split: Split) -> None:
    feed = LesionsFeed(recipe(feed="lesions", away_negatives=3), cache, split, CPU, workers=0)
    batch = next(feed.batches(0, 1))
    assert batch.dense is not None
    assert batch.known is not None
    assert batch.dense.shape == batch.known.shape == (6, 2, 24, 24)
    held = feed.real("validation", 3) + feed.simulated("validation", 12)
    assert Counter(held.sources)["simulated"] == 12
    seen = torch.cat([b.labels for b in held.batches(5)])
    assert seen.tolist() == held.labels.tolist()
    test = feed.held_out("test")
    assert "simulated" not in test.sources
    assert set(zip(test.sources, test.labels.tolist(), strict=True)) <= {("a", 0), ("a", 2), ("b", 2)}
    back = held.draw([len(held) - 1, 0])  # places in any order
    assert back.labels.tolist() == [held.labels[-1], held.labels[0]]


def test_a_mixture_that_the_data_cannot_fill_is_refused(cache: Cache, split: Split) -> None:
    wanting = recipe(feed="lesions", mixture=Mixture(real_infarct=0.2))
    with pytest.raises(DataError, match="no slice labelled ischemic"):
        make_feed(wanting, cache, split, "cpu")
    with pytest.raises(DataError, match="random labels mean nothing"):
        make_feed(recipe(feed="lesions", random_labels="images"), cache, split, "cpu")
    with pytest.raises(DataError, match="--frame square"):
        make_feed(recipe(frame="square"), cache, split, "cpu")

"""The volumes feed and objective: who is drawn and how they are labelled, stacked, augmented and learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.errors import DataError, OptionError
from strokenext.models import volume
from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.planes import Planes
from strokenext.types import Slice, Volume
from tests.helpers.places import RECIPES
from tests.helpers.toy import head
from training.cache.planes import planes_of
from training.cache.store import Cache, Row
from training.data.manifest import Manifest, Record
from training.splits.split import Split
from training.systems import make_objective
from training.train.recipe import Mixture, Recipe, read_recipe
from training.volumes.bleeds import Stack, bleed, longest_run, slices_with
from training.volumes.evaluate import PatientSeries, _result, patient_series
from training.volumes.example import FIRST, Slices, augmented, grid
from training.volumes.feed import VolumesFeed, accepted, patient_label
from training.volumes.objective import VolumeObjective, outline_loss

FRAMING = Preprocess(size=72, frame="head", level=False, channels="stroke")
SLICES = 10
BLEED = (4, 5, 6)


def recipe(**changes: object) -> Recipe:
    given = {
        "name": "tiny",
        "model": "cnn3d",
        "objective": "volume",
        "feed": "volumes",
        "size": 48,
        "depth": 46,
        "batch": 4,
        "rate": 1e-3,
        "warmup": 3,
        "channels_last": False,
        "precision": "float32",
        "label_smoothing": 0.0,
        "mixture": Mixture(normal=0.5, infarct=0.0, bleed=0.1, real_bleed=0.4),
    }
    return Recipe(**(given | changes))  # type: ignore[arg-type]


def drawn(patient: int, number: int) -> Slice:
    """A head of noise; patients of even number bleed on the slices BLEED, on one side."""
    image = head(100 * patient + number)
    if patient % 2 or number not in BLEED:
        return image
    yy, xx = np.mgrid[0:96, 0:96]
    blood = np.hypot(yy - 48, xx - (36 if patient % 4 else 60)) < 12
    return replace(image, pixels=np.where(blood, 72, image.pixels).astype(np.float32))


@pytest.fixture(scope="module")
def cache() -> Cache:
    """Ten patients of ten slices, rows in no order: six to train on, four held back; the last has few slices."""
    rows, planes = [], []
    for number in np.random.default_rng(0).permutation(SLICES):
        for patient in range(10):
            if patient == 9 and number > 6:
                continue
            label = int(patient % 2 == 0 and number in BLEED)
            rows.append(
                Row(
                    f"{patient}/{number}.png",
                    "made_up",
                    f"made_up/{patient}",
                    f"g{patient}",
                    label,
                    1 if label else None,
                    0.5,
                    slice=int(number),
                )
            )
            planes.append(planes_of(drawn(patient, int(number)), framing=FRAMING))
    return Cache(tuple(rows), np.stack(planes), {"frame": "head", "window": [80.0, 40.0]})


@pytest.fixture(scope="module")
def split(cache: Cache) -> Split:
    parts = {"train": range(6), "validation": (6, 7), "test": (8, 9)}
    paths = {n: tuple(r.path for r in cache.rows if int(r.path[0]) in of) for n, of in parts.items()}
    return Split("patients", "presence", 0, True, paths)


@pytest.fixture(scope="module")
def feed(cache: Cache, split: Split) -> VolumesFeed:
    return VolumesFeed(recipe(), cache, split, torch.device("cpu"))


class TestPatients:
    @pytest.mark.parametrize(
        ("labels", "task", "expected"),
        [
            ([0, 0, 1, 0], "presence", 1),  # any slice
            ([0, 0, 0], "presence", 0),
            ([0, None, 0], "presence", -1),  # nobody looked at one of them
            ([None, 1, None], "presence", 1),
            ([None, None], "presence", -1),
            ([None, 1, 1, None], "subtype", 1),
            ([None, 1, 0], "subtype", -1),  # both kinds
            ([0, None], "subtype", 0),
        ],
    )
    def test_the_label_rule(self, labels: list[int | None], task: str, expected: int):
        assert patient_label(labels, task) == expected

    def test_slices_come_in_their_order_whatever_the_order_of_the_rows(self, feed: VolumesFeed, cache: Cache):
        for patients in feed.patients.values():
            for patient in patients:
                numbers = [cache.rows[i].slice for i in patient.rows]
                assert numbers == sorted(numbers)
                assert [n for n, b in zip(numbers, patient.bleeds, strict=True) if b == 1] == (
                    list(BLEED) if patient.label else []
                )

    def test_labels_and_parts(self, feed: VolumesFeed):
        assert {p: [x.unit[-1] for x in found] for p, found in feed.patients.items()} == {
            "train": list("012345"),
            "validation": ["6", "7"],
            "test": ["8"],  # 9 has seven slices, eight are needed
        }
        assert [p.label for p in feed.patients["train"]] == [1, 0, 1, 0, 1, 0]

    def test_half_a_patient_is_no_volume(self, cache: Cache, split: Split):
        moved = split.parts["train"][0]
        parts = dict(split.parts) | {"train": split.parts["train"][1:], "test": (*split.parts["test"], moved)}
        with pytest.raises(DataError, match="slices of one patient in several parts"):
            VolumesFeed(recipe(), cache, replace(split, parts=parts), torch.device("cpu"))

    def test_a_split_without_bleeds_is_refused(self, cache: Cache, split: Split):
        normal = replace(cache, rows=tuple(replace(r, presence=0, subtype=None) for r in cache.rows))
        with pytest.raises(DataError, match="with and without a bleed"):
            VolumesFeed(recipe(), normal, split, torch.device("cpu"))

    def test_the_gates_verdicts_are_kept_beside_the_cache(self, cache: Cache, tmp_path: Path):
        np.save(tmp_path / "planes.npy", cache.planes[:6])
        kept = Cache(cache.rows[:6], np.load(tmp_path / "planes.npy", mmap_mode="r"), cache.about)
        first = accepted(kept)
        assert first.tolist() == accepted(cache)[:6].tolist() == [True] * 6
        text = (tmp_path / "gate.json").read_text()
        (tmp_path / "gate.json").write_text(text.replace("111111", "110111"))
        assert accepted(kept).tolist() == [True, True, False, True, True, True]  # read, not measured again
        other = replace(kept, rows=cache.rows[1:7])
        assert accepted(other).all()  # another cache's verdicts are not taken

    def test_permuted_labels_keep_their_count_and_know_no_slice(self, cache: Cache, split: Split):
        control = VolumesFeed(recipe(random_labels="patients", seed=5), cache, split, torch.device("cpu"))
        patients = [p for part in control.patients.values() for p in part]
        assert sum(p.label for p in patients) == 5
        assert [p.label for p in patients] != [int(p.unit[-1]) % 2 == 0 for p in patients]
        assert all(set(p.bleeds) == {p.label} for p in patients)

    def test_the_longest_free_run(self):
        assert longest_run([True, False, True, True, True, False, True]) == range(2, 5)
        assert list(longest_run([False, False])) == []


class TestExamples:
    def test_a_step_is_the_same_whatever_came_before_and_whoever_draws_it(self, feed: VolumesFeed):
        later = list(feed.batches(2, 4))[1]
        alone = next(feed.batches(3, 4))
        shards = [next(feed.batches(3, 4, rank=r, world=3)) for r in range(3)]
        for name in ("pixels", "labels", "dense", "known"):
            assert torch.equal(getattr(later, name), getattr(alone, name))
            assert torch.equal(torch.cat([getattr(s, name) for s in shards]), getattr(alone, name))
        assert later.pixels.shape == (4, 1, 46, 48, 48)
        assert later.dense.shape == (4, 2, *grid((46, 48, 48)))

    def test_whole_patients_are_what_a_user_s_series_becomes(self, feed: VolumesFeed, cache: Cache):
        """The cache holds frames of 72 pixels; the user's file is framed to 48 at once. Brain and blood agree."""
        held = feed.held_out("test")
        assert held.units == ("made_up/8",)
        ours = next(iter(held)).pixels[0, 0].numpy()
        pixels = Preprocess(48, frame="head", level=True, channels="stroke")
        theirs = Planes(46).apply([drawn(8, n) for n in range(SLICES)], None, pixels).pixels[0]
        assert np.abs(ours - theirs)[:, 12:36, 12:36].mean() < 0.08
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.98

    def test_a_planted_blob_lies_on_its_plane(self, feed: VolumesFeed):
        planes = next(iter(feed.held_out("validation"))).pixels[0, 0].numpy()  # patient 6 bleeds on slices 4, 5 and 6
        middle = planes[:, 18:30, 12:22].mean((1, 2)), planes[:, 18:30, 26:36].mean((1, 2))
        brightest = [int(m.argmax()) for m in middle]
        side = int(np.argmax([m.max() for m in middle]))
        assert brightest[side] == pytest.approx(5 / 9 * 45, abs=4)
        assert middle[side][23] - middle[1 - side][23] > 0.3

    def test_labels_follow_the_slices_taken(self, feed: VolumesFeed):
        examples = [feed.example(place) for place in range(40)]
        labels = [e.label for e in examples]
        assert 10 < sum(labels) < 30
        for e in examples:
            planes = e.dense[1, :, 0, 0] * e.known[1, :, 0, 0]
            assert bool(planes.any()) <= bool(e.label)  # a plane with blood makes the patient positive
            if not e.label:
                assert not e.dense.any()
                assert e.known.all()

    def test_where_blood_was_seen_but_not_outlined_nothing_is_claimed(self, cache: Cache):
        """Slices 4 to 6 bleed, nobody drew where: their cells are unknown, their planes positive, the rest negative."""
        rows = sorted((r.slice, i) for i, r in enumerate(cache.rows) if r.unit == "made_up/0")
        planes = np.stack([cache.planes[i] for _, i in rows])
        planes[:, 4] = 255
        example = augmented(
            np.random.default_rng(1),
            Slices(planes, tuple(int(n in BLEED) for n in range(SLICES))),
            recipe(),
            Planes(46),
            simulate=False,
        )
        depth = grid((46, 48, 48))[0]
        at = (FIRST + 4 * np.arange(depth) + 1.5) / 45 * 9  # the slice that a cell's middle lies on
        inside, outside = (at > 4) & (at < 6), (at < 3) | (at > 7)
        assert example.label == 1
        assert not example.known[0, inside].any()
        assert example.known[0, outside].all()
        assert example.dense[1, inside].all()
        assert not example.dense[1, outside].any()

    def test_the_recipe_of_the_repository_is_read(self):
        found = read_recipe(RECIPES / "cnn3d.toml")
        assert (found.model, found.objective, found.feed) == ("cnn3d", "volume", "volumes")
        assert isinstance(make_objective(found), VolumeObjective)

    def test_infarcts_are_not_simulated_here(self, cache: Cache, split: Split):
        with pytest.raises(OptionError, match="draws no infarcts"):
            VolumesFeed(recipe(mixture=Mixture(infarct=0.2)), cache, split, torch.device("cpu"))

    def test_a_slice_network_is_no_volume_network(self):
        with pytest.raises(OptionError, match="small_cnn is none"):
            make_objective(recipe(model="small_cnn"))


@pytest.fixture(scope="module")
def stack() -> Stack:
    """A ball of brain: twelve slices, widest in the middle, with a dark ventricle."""
    size, n = 64, 12
    yy, xx = np.mgrid[0:size, 0:size]
    far = np.hypot(yy - 31.5, xx - 31.5)
    depth, grey = np.zeros((2, n, size, size), np.float32)
    for k in range(n):
        depth[k] = np.maximum(28 * np.sqrt(1 - ((k - 5.5) / 6.5) ** 2) - far, 0)
        grey[k] = np.where(depth[k] > 0, 0.45, 0) - 0.3 * (far < 6)
    return Stack(np.clip(grey, 0, 1), depth)


class TestSimulation:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 10_000))
    def test_a_bleed_is_one_bright_body_through_neighbouring_slices_inside_the_brain(self, stack: Stack, seed: int):
        found = bleed(np.random.default_rng(seed), stack)
        assert found is not None
        again = bleed(np.random.default_rng(seed), stack)
        assert np.array_equal(found.grey, again.grey)
        assert not found.mask[stack.depth == 0].any()
        assert np.array_equal(found.grey[stack.depth == 0], stack.grey[stack.depth == 0])
        full = found.mask > 0.9
        if full.any():
            assert np.median(found.grey[full]) > 0.5  # brighter than brain, at 0.45; speckle darkens single pixels
        shown = slices_with(found.mask)
        assert shown.any()
        assert np.abs(found.grey - stack.grey)[shown].max() > 0.05

    def test_bodies_run_through_several_slices(self, stack: Stack):
        lengths = [len(longest_run(list(slices_with(bleed(np.random.default_rng(s), stack).mask)))) for s in range(40)]
        assert np.median(lengths) >= 2
        assert max(lengths) >= 6

    def test_no_brain_no_bleed(self, stack: Stack):
        assert bleed(np.random.default_rng(0), Stack(stack.grey, np.zeros_like(stack.depth))) is None


class TestLearning:
    def test_the_outline_loss_is_low_where_the_outline_is_right_and_ignores_the_unknown(self):
        dense, known = torch.zeros(1, 2, 3, 4, 4), torch.ones(1, 2, 3, 4, 4)
        dense[0, 0, 1, :2] = 1
        dense[0, 1, 1] = 1
        right = torch.where(dense[:, 0] > 0, 6.0, -6.0)
        assert outline_loss(right, dense, known) < 0.05
        assert outline_loss(-right, dense, known) > 5
        known[0, :, 1] = 0
        wrong_there = right.clone()
        wrong_there[0, 1] = -6.0
        assert torch.equal(outline_loss(wrong_there, dense, known), outline_loss(right, dense, known))

    def test_a_volume_network_learns_planted_bleeds(self, cache: Cache, split: Split, monkeypatch: pytest.MonkeyPatch):
        """Three bleeding and three normal training heads; those held back are told apart. A narrow network: fast."""
        monkeypatch.setattr(volume, "CHANNELS", (8, 8, 16, 32))
        narrow = recipe(batch=8, rate=3e-3)
        feed = VolumesFeed(narrow, cache, split, torch.device("cpu"))
        torch.manual_seed(0)
        objective = make_objective(narrow)
        optimiser = torch.optim.AdamW(objective.module.parameters(), narrow.rate)
        losses = []
        for step, batch in enumerate(feed.batches(0, 45)):
            objective.module.train()
            loss, counted = objective.loss(objective.module, batch, step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
            assert 0 <= int(counted["right"]) <= 8
        assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
        scores = objective.score(objective.module.eval(), feed)
        assert scores["images"] == 2
        assert scores["auroc"] == 1.0

    def test_what_is_kept_is_the_network_of_the_zoo(self):
        objective = make_objective(recipe())
        assert sum(p.numel() for p in objective.model.parameters()) == 1_352_386
        x = torch.randn(1, 1, 46, 48, 48)
        objective.module.eval()
        with torch.no_grad():
            assert torch.allclose(objective.module(x)[0], objective.model(x), atol=1e-5)
            assert objective.module(x, True)[1].shape == (1, *grid((46, 48, 48)))


class TestResults:
    def test_a_patient_s_files_become_one_series_in_their_order(self, tmp_path: Path):
        """By slice number, not by file name; a stray picture of another size is left out, an unknown patient too."""
        rng = np.random.default_rng(0)
        records = []
        for patient, labels in (("a", (0, 1, 0)), ("b", (0, 0, 0)), ("c", (None, 0, None))):
            for number, label in enumerate(labels):
                name = f"{patient}{9 - number}.png"  # names descend where numbers ascend
                cv2.imwrite(str(tmp_path / name), rng.integers(0, 255, (20, 20), dtype=np.uint8) // 9 + 40 * number)
                extra = {"slice": number + 1, "types": "epidural" if label else ""}
                records.append(Record(name, "s", label, label or None, f"s/{patient}", f"g{patient}", extra=extra))
        cv2.imwrite(str(tmp_path / "stray.png"), np.zeros((8, 30), np.uint8))
        records.append(Record("stray.png", "s", 0, None, "s/a", "ga", extra={"slice": 0}))
        found = list(patient_series(Manifest(tmp_path, tuple(records)), records, "presence"))
        assert [(h.unit, h.label, h.types, len(h.volume)) for h in found] == [
            ("s/a", 1, "epidural", 3),
            ("s/b", 0, "", 3),
        ]
        levels = [float(np.median(s.pixels)) for s in found[0].volume]
        assert levels == sorted(levels)

    def test_a_source_of_one_class_is_counted_apart_and_ranks_nothing(self):
        """Five patients of a source with both classes, three of one where all bleed; a refused one is in neither."""
        volume = Volume((head(),))
        rows = [PatientSeries(f"x/{i}", "x", i % 2, ("normal", "hemorrhagic")[i % 2], "", volume) for i in range(6)]
        rows += [PatientSeries(f"y/{i}", "y", 1, "ischemic", "", volume) for i in range(3)]
        margins = [-2.0, 2.0, -1.0, 3.0, None, 1.0, 4.0, 4.0, -4.0]
        model = {"name": "m", "architecture": "cnn3d", "task": "presence", "threshold": 0.5, "temperature": 1.0}
        found = _result(model, rows, margins, 9.0, {}, 50, "cpu")
        assert found.predictions.units == ("x/0", "x/1", "x/2", "x/3", "x/5")
        assert found.predictions.kinds == ("normal", "hemorrhagic", "normal", "hemorrhagic", "hemorrhagic")
        assert found.metrics["ranking"]["auroc"]["value"] == 1.0
        assert (found.data["n"], found.data["refused"], found.data["seconds_per_image"]) == (5, 1, 1.0)
        apart = found.extra["one_class_sources"]
        assert list(apart) == ["y"]
        assert apart["y"]["called_positive"]["value"] == pytest.approx(2 / 3)
        with pytest.raises(DataError, match="with and without a bleed in this part"):
            _result(model, rows[6:], margins[6:], 1.0, {}, 50, "cpu")

"""Segmentation is trained on what is known: derived hematomas, outlined edema, slices without either."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from strokenext.errors import DataError, OptionError
from strokenext.windows import grey01
from tests.helpers.masked_phantoms import FRAMING, bleeding, rim, split_of, write_slices
from training.cache.hematoma import derive_hematoma
from training.cache.store import Cache, build
from training.data.images import open_image
from training.data.manifest import Manifest
from training.drawing.batch_augment import Augment
from training.segment.augment import augmented, bending, sampling
from training.segment.drawn import BLEED, FREE, INFARCT, REAL, with_lesions
from training.segment.feed import MasksFeed
from training.segment.objective import FIRST_LOGIT, Segment, counts, mask_loss, pooled_dice, pooled_iou
from training.segment.planes import SEGMENTATION_PLANES, truth_of
from training.splits.split import Split
from training.systems import make_feed, make_objective
from training.train.feed import Batch
from training.train.recipe import Recipe

STILL = Augment(0, 0, 0, 0, 0, 0, 0, 0, 0)


def recipe(**changes: object) -> Recipe:
    given = {
        "name": "tiny",
        "task": "segmentation",
        "model": "unet",
        "arguments": {"width": 4},
        "objective": "segment",
        "feed": "masks",
        "size": 64,
        "frame": "contour-in-place",
        "channels": "grey",
        "batch": 4,
        "away_negatives": 3,
        "precision": "float32",
        "select": "dice",
    }
    return Recipe.from_dict(given | changes)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_slices(tmp_path_factory.mktemp("slices"))


@pytest.fixture(scope="module")
def cache(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return build(manifest, tmp_path_factory.mktemp("cache"), SEGMENTATION_PLANES, FRAMING)


@pytest.fixture(scope="module")
def split(manifest: Manifest) -> Split:
    return split_of(manifest)


@pytest.fixture(scope="module")
def feed(cache: Cache, split: Split) -> MasksFeed:
    return make_feed(recipe(), cache, split, "cpu")  # type: ignore[return-value]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


class TestHematoma:
    @pytest.mark.parametrize("seed", [0, 3])
    def test_the_blood_beside_an_open_rim_is_found(self, seed: int) -> None:
        phantom = bleeding(seed, 192)
        found = derive_hematoma(np.clip(phantom.hu / 80, 0, 1), rim(phantom.lesion))
        assert found is not None
        assert dice(found.blood, phantom.lesion) > 0.85
        assert not (found.blood & rim(phantom.lesion)).any()
        assert not (found.blood & found.unclear).any()

    def test_nothing_is_made_up_where_nothing_is_bright(self) -> None:
        phantom = bleeding(1, 192)
        pale = np.clip(np.where(phantom.lesion, 33, phantom.hu) / 80, 0, 1).astype(np.float32)
        assert derive_hematoma(pale, rim(phantom.lesion)) is None
        far = np.roll(rim(phantom.lesion), 70 if phantom.lesion[:, :96].any() else -70, axis=1) & phantom.brain
        assert derive_hematoma(np.clip(phantom.hu / 80, 0, 1), far) is None

    def test_neither_an_empty_rim_nor_a_picture_without_a_head_has_one(self) -> None:
        grey = np.clip(bleeding(0, 192).hu / 80, 0, 1)
        assert derive_hematoma(grey, np.zeros(grey.shape, bool)) is None
        assert derive_hematoma(np.zeros_like(grey), np.ones(grey.shape, bool)) is None


class TestPlanes:
    def test_what_each_kind_of_slice_tells(self, manifest: Manifest) -> None:
        def truth(name: str):
            record = manifest.by_path()[f"{name}.png"]
            return truth_of(manifest, record, open_image(manifest.file(record)))

        rimmed, normal, far, blood = (truth(n) for n in ("rims/0", "heads/0", "rims/0far", "clinic/0"))
        assert rimmed.masks[0].any()
        assert rimmed.masks[1].any()
        assert rimmed.known[1].all()
        assert rimmed.known[0].mean() > 0.9
        assert np.array_equal(rimmed.known[2], rimmed.masks[1])  # the rim is no infarct; elsewhere nobody looked
        assert not rimmed.masks[2].any()
        assert normal.known.all()
        assert not normal.masks.any()
        assert not far.known.any()  # the feed may presume it free, the truth does not
        assert blood.known[0].all()
        assert not blood.known[1].any()  # nobody looked for edema there
        record = replace(manifest.by_path()["rims/0.png"], subtype=0, extra={"mask": "masks/rims/0.png"})
        infarct = truth_of(manifest, record, open_image(manifest.file(record)))
        assert infarct.known[0].all()
        assert not infarct.known[1].any()  # what surrounds an infarct is another edema
        assert infarct.known[2].all()
        assert np.array_equal(infarct.masks[2], rimmed.masks[1])
        assert not infarct.masks[:2].any()

    def test_masks_lie_on_their_pixels(self, cache: Cache, manifest: Manifest) -> None:
        index = next(i for i, r in enumerate(cache.rows) if r.path == "clinic/0.png")
        grey, blood = cache.planes[index, 0] / 255, cache.planes[index, 2] > 127
        inside, outside = grey[blood].mean(), grey[(cache.planes[index, 1] > 127) & ~blood].mean()
        assert inside > outside + 0.2  # 62 against 35 HU, of 80
        share = blood.sum() / blood.size
        image = open_image(manifest.file(manifest.by_path()["clinic/0.png"]))
        assert share == pytest.approx(bleeding(90).lesion.mean(), rel=0.05)
        assert grey01(image, None).shape == (128, 128)  # type: ignore[arg-type]

    def test_a_mask_of_another_size_is_refused(self, manifest: Manifest) -> None:
        record = manifest.by_path()["rims/0.png"]
        image = open_image(manifest.file(record))
        with pytest.raises(DataError, match="no picture of the size"):
            truth_of(manifest, record, replace(image, pixels=image.pixels[1:]))
        with pytest.raises(DataError, match="Prepare the data again"):
            truth_of(manifest, replace(record, extra=record.extra | {"mask": "nowhere.png"}), image)


class TestFeed:
    def test_lesions_and_free_slices_of_every_source(self, feed: MasksFeed, cache: Cache) -> None:
        assert {cache.rows[i].path for i in feed.lesions} == {f"rims/{i}.png" for i in range(4)}
        assert [{cache.rows[i].source for i in rows} for rows in feed.without] == [{"heads"}, {"rims"}]
        examples = [feed.example_at(p) for p in range(400)]
        shares = [sum(kind == k for kind, _ in examples) / 400 for k in (FREE, BLEED, REAL, INFARCT)]
        mixture = feed.recipe.mixture
        wanted = np.array([mixture.normal, mixture.bleed, mixture.real_bleed, mixture.infarct])
        assert shares == pytest.approx(wanted / wanted.sum(), abs=0.07)
        assert all((cache.rows[i].presence == 1) == (kind == REAL) for kind, i in examples)
        free = [cache.rows[i] for kind, i in examples if kind != REAL]
        assert sum(r.source == "rims" for r in free) / len(free) == pytest.approx(0.5, abs=0.12)

    def test_a_drawn_bleed_is_bright_where_its_mask_is_and_its_edema_unknown(
        self, feed: MasksFeed, cache: Cache
    ) -> None:
        rows = [next(i for i in feed.without[0] if cache.rows[i].presence == 0)] * 4
        grey, inner, masks, known = feed._planes(rows)
        keys = [(1, n) for n in range(4)]
        new, marked, sure, lesions = with_lesions(grey, inner, masks, known, [BLEED, BLEED, FREE, REAL], keys)
        assert lesions == [True, True, False, True]
        for n in (0, 1):
            blood = marked[n, 0] > 0.9
            assert blood.sum() > 5
            assert new[n, 0][blood].mean() > grey[n, 0][blood].mean() + 0.08  # 6 HU and more
            assert sure[n, 0].all()
            assert not sure[n, 1].any()
        assert not marked[2].any()
        assert sure[2].all()
        assert torch.equal(new[3], grey[3])
        again = with_lesions(grey, inner, masks, known, [BLEED], keys[:1])
        assert torch.equal(again[0][0], new[0])
        assert not masks.any()  # what was given is left as it was

    def test_a_drawn_infarct_is_dark_where_its_mask_is_and_nothing_else(self, feed: MasksFeed, cache: Cache) -> None:
        rows = [next(i for i in feed.without[0] if cache.rows[i].presence == 0)] * 6
        grey, inner, masks, known = feed._planes(rows)
        keys = [(2, n) for n in range(6)]
        new, marked, sure, lesions = with_lesions(grey, inner, masks, known, [INFARCT] * 6, keys, (10.0, 12.0))
        plain = with_lesions(grey, inner, masks, known, [FREE] * 6, keys)[0]
        assert all(lesions)
        assert not marked[:, :2].any()
        assert sure.all()
        seen = [n for n in range(6) if (marked[n, 2] > 0.9).sum() > 20]
        assert len(seen) >= 4
        for n in seen:
            dead = marked[n, 2] > 0.9
            assert new[n, 0][dead].mean() < plain[n, 0][dead].mean() - 0.04  # 3 HU and more

    def test_a_slice_without_enclosed_brain_stays_as_it_is(self, feed: MasksFeed) -> None:
        neck = torch.zeros(1, 1, 64, 64)
        neck[..., 16:48, 16:48] = 0.5
        nothing = torch.zeros(1, 2, 64, 64)
        new, marked, _, lesions = with_lesions(neck, (neck > 0).float(), nothing, nothing + 1, [BLEED], [(0, 0)])
        assert torch.equal(new, neck)
        assert not marked.any()
        assert lesions == [False]

    def test_an_unlabelled_slice_is_free_only_where_that_is_asked(self, cache: Cache, split: Split) -> None:
        plain = MasksFeed(recipe(away_negatives=0), cache, split, torch.device("cpu"))
        assert [{cache.rows[i].source for i in rows} for rows in plain.without] == [{"heads"}]

    def test_shards_and_resumed_steps_equal_the_whole(self, feed: MasksFeed) -> None:
        def joined(batches: list[Batch]) -> Tensor:
            return torch.cat([torch.cat([b.pixels.flatten(1), b.dense.flatten(1)], 1) for b in batches])  # type: ignore[union-attr]

        whole = joined(list(feed.batches(0, 3)))
        ranks = [list(feed.batches(0, 3, rank=r, world=2)) for r in range(2)]
        assert torch.equal(joined([b for pair in zip(*ranks, strict=True) for b in pair]), whole)
        assert torch.equal(joined(list(feed.batches(2, 3))), whole[8:])

    def test_batches_are_model_input_and_masks(self, feed: MasksFeed) -> None:
        batch = next(feed.batches(0, 1))
        assert batch.pixels.shape == (4, 3, 64, 64)
        assert batch.dense is not None
        assert batch.known is not None
        assert batch.dense.shape == batch.known.shape == (4, 3, 64, 64)
        assert set(batch.known.unique().tolist()) <= {0.0, 1.0}
        assert not batch.dense[batch.labels == 0].any()
        assert batch.known[batch.labels == 0].all()

    def test_held_back_pixels_are_those_of_a_users_file(self, cache: Cache, split: Split, manifest: Manifest) -> None:
        feed = MasksFeed(recipe(size=96, level=True), cache, split, torch.device("cpu"))
        held = feed.held_out("test")
        assert held.paths == ("rims/5.png", "heads/5.png")
        assert held.labels.tolist() == [1, 0]
        for i, path in enumerate(held.paths):
            image = open_image(manifest.file(manifest.by_path()[path]))
            expected = recipe(size=96, level=True).preprocess().apply(image).pixels
            assert np.abs(held.draw([i]).pixels[0].numpy() - expected).max() < 0.05  # a grey level in steps of 0.225

    def test_validation_may_presume_and_test_may_not(self, feed: MasksFeed, cache: Cache, split: Split) -> None:
        assert "rims/0far.png" not in feed.held_out("test").paths
        moved = replace(
            split,
            parts=dict(split.parts)
            | {
                "train": tuple(p for p in split.parts["train"] if p != "rims/0.png"),
                "validation": ("rims/0.png",),
            },
        )
        other = MasksFeed(recipe(), cache, moved, torch.device("cpu"))
        assert other.held_out("validation").paths == ("rims/0.png", "rims/0far.png")

    def test_a_cache_without_masks_or_framed_otherwise_is_refused(self, cache: Cache, split: Split) -> None:
        with pytest.raises(DataError, match="--masks"):
            make_feed(recipe(), Cache(cache.rows, cache.planes, {}), split, "cpu")
        with pytest.raises(DataError, match="--masks --frame square"):
            make_feed(recipe(frame="square"), cache, split, "cpu")
        paths = [r.path for r in cache.rows]
        only = replace(split, parts={"train": paths[-2:-1], "validation": [*paths[:-2], paths[-1]]})
        with pytest.raises(DataError, match="free of a lesion"):
            make_feed(recipe(), cache, only, "cpu")


class TestAugmentation:
    def test_nothing_asked_changes_nothing(self) -> None:
        planes = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
        masks = (torch.rand(2, 2, 64, 64, generator=torch.Generator().manual_seed(1)) > 0.5).float()
        plain = recipe(augment=vars(STILL), level=False)
        grey, same, known = augmented(planes, torch.ones_like(planes), masks, torch.ones_like(masks), plain, [3, 9], 64)
        assert torch.allclose(grey, planes, atol=2e-3)
        assert torch.allclose(same, masks, atol=1e-3)
        assert known.all()

    @settings(max_examples=12, deadline=None)
    @given(place=st.integers(0, 10**6))
    def test_masks_move_with_the_picture(self, place: int) -> None:
        """A bright disc is its own mask: however both are bent, what is bright is what is marked."""
        yy, xx = np.mgrid[0:96, 0:96]
        disc = torch.from_numpy((np.hypot(yy - 40, xx - 56) < 14).astype(np.float32))[None, None]
        how = replace(Augment(), contrast=0, brightness=0, window=0, noise=0, blur=0)
        bent = recipe(augment=vars(how), level=False)
        both = disc.expand(1, 2, 96, 96)
        grey, masks, _ = augmented(disc, torch.ones_like(disc), both, torch.ones_like(both), bent, [place], 96)
        bright, marked = grey[0, 0] > 0.5, masks[0, 0] > 0.5
        assert dice(bright.numpy(), marked.numpy()) > 0.98
        assert float(marked.sum()) == pytest.approx(
            float(disc.sum()), rel=0.6
        )  # zoomed by 12 % a side at most, bent a little

    def test_bending_is_smooth_and_a_place_decides_it(self) -> None:
        one, same, other = (bending(1, [p]) for p in (5, 5, 6))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        still = sampling(np.tile(np.eye(2, 3), (1, 1, 1)), torch.zeros_like(one), 64)
        moved = sampling(np.tile(np.eye(2, 3), (1, 1, 1)), one, 64) - still
        assert 0 < float(moved.abs().max()) < 0.2  # at most a tenth of the side
        assert float((moved[:, 1:] - moved[:, :-1]).abs().max()) < 0.02


class TestObjective:
    def test_counts_by_hand(self) -> None:
        logits = torch.tensor([[[[1.0, 1, -1, -1], [1, -1, -1, -1]]]])
        masks = torch.tensor([[[[1.0, 0, 1, 0], [1, 0, 0, 0]]]])
        known = torch.ones_like(masks)
        found = counts(logits, masks, known)
        assert [float(v) for v in found] == [2, 3, 3]
        assert float(pooled_dice(*found)) == pytest.approx(4 / 6)
        assert float(pooled_iou(*found)) == pytest.approx(2 / 4)
        known[..., 0, 1] = 0  # the wrongly marked pixel is not known
        assert float(pooled_iou(*counts(logits, masks, known))) == pytest.approx(2 / 3)
        nothing = torch.zeros_like(masks)
        assert float(pooled_dice(*counts(-logits.abs(), nothing, known))) == 1.0

    def test_the_loss_falls_towards_the_truth_and_knows_what_it_does_not_know(self) -> None:
        masks = torch.zeros(1, 2, 16, 16)
        masks[:, 0, 4:8, 4:8] = 1
        known = torch.ones_like(masks)
        right, wrong = 8 * (2 * masks - 1), 8 * (1 - 2 * masks)
        assert float(mask_loss(right, masks, known)) < 0.01
        assert float(mask_loss(torch.full_like(masks, FIRST_LOGIT), masks, known)) < float(
            mask_loss(wrong, masks, known)
        )
        half = wrong.clone()
        half[:, 1] = right[:, 1]
        known[:, 0] = 0
        assert float(mask_loss(half, masks, known)) < 0.01
        logits = wrong.clone().requires_grad_()
        mask_loss(logits, masks, known).backward()
        assert logits.grad is not None
        assert not logits.grad[:, 0].any()
        assert logits.grad[:, 1].any()

    def test_it_learns_the_phantoms(self, feed: MasksFeed) -> None:
        torch.manual_seed(0)
        made = make_objective(recipe(arguments={"width": 8}))
        assert isinstance(made, Segment)
        start = made.score(made.module.eval(), feed)
        assert (start["images"], start["false_alarms"], start["dice"]) == (2, 0.0, 0.0)
        made.module.train()
        optimiser = torch.optim.AdamW(made.module.parameters(), lr=6e-3)
        for step, batch in enumerate(feed.batches(0, 90)):
            loss, sums = made.loss(made.module, batch, step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        batch = next(feed.batches(90, 91))
        with torch.no_grad():
            loss, sums = made.loss(made.module, batch, 90)  # with the batch's own norms: ninety steps are few
        found = counts(made.module(batch.pixels), batch.dense, batch.known)  # type: ignore[arg-type]
        assert float(pooled_dice(*found)[0]) > 0.6
        assert 0.3 < float(sums["dice"]) / len(batch.pixels) <= 1

    def test_what_it_cannot_train_is_refused(self) -> None:
        with pytest.raises(OptionError, match="resnet50 is none"):
            make_objective(recipe(model="resnet50", arguments={}))
        made = Segment(recipe())
        with pytest.raises(OptionError, match="feed 'masks'"):
            made.loss(made.module, Batch(torch.zeros(2, 3, 64, 64), torch.zeros(2, dtype=torch.long)), 0)

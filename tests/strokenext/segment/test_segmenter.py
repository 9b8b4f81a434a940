"""Marks land on the pixels they belong to: geometry, thresholds, sizes, the record, a planted lesion, threads."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import strokenext
from strokenext.errors import InputError, ModelError, ModelMismatchError, ModelNotFoundError, OptionError
from strokenext.frame.framed import NOTICE
from strokenext.overlay import REGION_COLORS, render
from strokenext.record.config import ModelConfig, load_config
from strokenext.record.weights import save_model
from strokenext.regions import Masks, Region
from strokenext.segment.segmenter import Segmenter
from strokenext.show import words
from strokenext.types import Edges, Slice, Volume
from tests.helpers.masked_phantoms import bleeding, bright, segmentation_model
from tests.helpers.reading import stands_on
from tests.helpers.tiny_models import pair


class TestRecord:
    def test_it_comes_back_from_json(self) -> None:
        masks = Masks((0.4, 0.6), (6.0, 12.0), ("One.", "Two."))
        assert Masks.from_dict(json.loads(json.dumps(masks.to_dict()))) == masks

    @pytest.mark.parametrize(
        "wrong",
        [
            {},
            {"thresholds": [0.5]},
            [1],
            {"thresholds": [0.5], "least": [0], "says": ["x"], "more": []},
            {"thresholds": [1.5], "least": [0], "says": ["x"]},
            {"thresholds": [0.5], "least": [-1], "says": ["x"]},
            {"thresholds": [0.5], "least": [0], "says": [" "]},
            {"thresholds": [0.5, 0.5], "least": [0], "says": ["x"]},
            {"thresholds": 0.5, "least": [0], "says": ["x"]},
            {"thresholds": [True], "least": [0], "says": ["x"]},
        ],
    )
    def test_what_is_not_such_a_record_is_refused(self, wrong: object) -> None:
        with pytest.raises(ModelError, match="record of masks"):
            Masks.from_dict(wrong)

    def test_the_models_record_is_read_strictly(self, folder: Path) -> None:
        record = load_config(folder).to_dict()
        for change in (
            {"masks": None},
            {"task": "presence", "classes": ["non-stroke", "stroke"]},
            {"classes": ["hematoma"]},
        ):
            with pytest.raises(ModelError, match="masks"):
                ModelConfig.from_dict(record | change)
        with pytest.raises(ModelError, match="record of masks"):
            ModelConfig.from_dict({k: v for k, v in record.items() if k != "masks"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return segmentation_model(tmp_path_factory.mktemp("models") / "toy-marks")


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Segmenter:
    return strokenext.load(folder, device="cpu", kind="segmentation")


class TestSegmenter:
    @pytest.mark.parametrize("seed", [0, 5])
    def test_a_planted_lesion_is_marked_where_it_lies(self, segmenter: Segmenter, seed: int) -> None:
        phantom = bleeding(seed, 160)
        found = segmenter.segment(phantom.as_slice())
        blood, edema = found.regions
        assert 2 * (blood.mask & phantom.lesion).sum() / (blood.pixels + phantom.lesion.sum()) > 0.85
        assert not edema.pixels
        assert not found.empty
        assert blood.area == pytest.approx(blood.pixels * phantom.spacing[0] * phantom.spacing[1])
        much = f"{blood.area:.0f} mm², {blood.diameter:.0f} mm across"
        assert words.marked(found) == f"Hematoma: {much}; perihematomal edema: nothing marked."

    def test_a_head_that_lies_turned_is_marked_where_it_lies(self, segmenter: Segmenter) -> None:
        phantom = bleeding(0, 160)
        image = replace(phantom.as_slice(), pixels=np.rot90(phantom.hu).copy(), edges=Edges("A", "P", "L", "R"))
        blood = segmenter.segment(image).regions[0]
        lesion = np.rot90(phantom.lesion)
        assert 2 * (blood.mask & lesion).sum() / (blood.pixels + lesion.sum()) > 0.85

    def test_a_head_without_one_stays_empty(self, segmenter: Segmenter) -> None:
        from training.drawing.phantom.head import head_phantom

        found = segmenter.segment(head_phantom("normal", 160, 3).as_slice())
        assert found.empty
        assert not found.refused
        plain = render(found.image)
        assert (render(found.image, regions=found.regions) == plain).all()

    def test_what_it_says_of_itself(self, segmenter: Segmenter, folder: Path) -> None:
        image = bleeding(1, 160).as_slice()
        found = segmenter.segment(image)
        body = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert body["classes"] == list(segmenter.classes) == ["hematoma", "perihematomal edema"]
        assert body["provenance"]["weights_sha256"] == load_config(folder).weights_sha256
        assert body["provenance"]["model"] == segmenter.name == "toy-marks"
        assert [r["name"] for r in body["regions"]] == body["classes"]
        assert body["regions"][0]["says"] == "Bright tissue."
        assert body["spacing"] == list(image.spacing)  # type: ignore[arg-type]

    def test_a_refused_image_is_not_looked_at_unless_forced(self, segmenter: Segmenter) -> None:
        noise = Slice(np.full((128, 128), 30.0, dtype=np.float32), "HU")
        found = segmenter.segment(noise)
        assert found.refused
        assert found.regions == ()
        assert found.to_json()["regions"] is None
        assert words.marked(found).startswith("Not marked. ")
        assert len(segmenter.segment(noise, force=True).regions) == 2

    def test_threads_share_it(self, segmenter: Segmenter) -> None:
        images = [bleeding(seed, 128).as_slice() for seed in (0, 2)] * 6
        alone = [segmenter.segment(image).regions[0].pixels for image in images[:2]] * 6
        with ThreadPoolExecutor(4) as pool:
            assert [f.regions[0].pixels for f in pool.map(segmenter.segment, images)] == alone

    def test_saved_pictures_show_the_marks(self, segmenter: Segmenter, tmp_path: Path) -> None:
        found = segmenter.segment(bleeding(2, 128).as_slice())
        place = found.save(tmp_path / "case")
        assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png", "overlay.png", "labels.png"}
        labels = np.asarray(Image.open(place / "labels.png"))
        assert (labels == found.regions[0].mask).all()
        framed, plain = (np.asarray(Image.open(place / f"{n}.png").convert("RGB")) for n in ("overlay", "slice"))
        assert stands_on(framed, f"Marked: {found.regions[0].name}, {NOTICE}", 14)
        assert (np.asarray(Image.open(io.BytesIO(found.picture()))) == framed).all()
        overlay = render(found.image, window=found.window, regions=found.regions)
        changed = (overlay != plain).any(axis=2)
        assert (changed <= found.regions[0].mask).all()  # nothing outside a region changes
        assert changed.sum() > 0.9 * found.regions[0].pixels
        edge = changed & (overlay == np.array(REGION_COLORS[0])).all(axis=2)
        assert edge.any()

    def test_what_it_cannot_do_is_a_sentence(self, segmenter: Segmenter, folder: Path, monkeypatch) -> None:
        with pytest.raises(InputError, match="segment_series"):
            segmenter.segment(Volume((bleeding(0, 64).as_slice(),) * 2))
        with pytest.raises(ModelMismatchError, match=r"marks lesions.*kind='segmentation'"):
            strokenext.load(folder, device="cpu", kind="slice")
        monkeypatch.setenv("STROKENEXT_ASSETS", str(pair()))
        with pytest.raises(ModelMismatchError, match="no model of the kind 'segmentation'"):
            strokenext.load("strokenext-atto-presence", device="cpu", kind="segmentation")
        with pytest.raises(ModelNotFoundError):
            strokenext.load(device="cpu", kind="segmentation")
        with pytest.raises(OptionError, match="another picture"):
            render(bleeding(0, 64).as_slice(), regions=[Region("lesion", "A mark.", np.zeros((5, 5), bool), 0.5, 1.0)])

    def test_numbers_that_are_none_are_refused(self, folder: Path) -> None:
        network = bright()
        segmenter = Segmenter(network, load_config(folder), "cpu")
        with torch.no_grad():
            network.classifier.bias[0] = float("nan")
        with pytest.raises(ModelError, match="not finite"):
            segmenter.segment(bleeding(0, 128).as_slice())


def test_a_saved_model_without_masks_is_not_saved(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="record of masks"):
        save_model(tmp_path / "m", bright(), replace(load_config(folder), masks=None), "# x\n")

"""The 3-D CNN as a product: slices to planes, planes to an answer, evidence where its cells lie, and the files."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import strokenext
from strokenext.errors import InputError, ModelError, ModelMismatchError, OptionError
from strokenext.models import build
from strokenext.overlay import part_of_scale
from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.planes import Planes
from strokenext.record.config import ModelConfig
from strokenext.record.weights import load_model, save_model
from strokenext.types import Edges, Gate, Slice, Volume
from strokenext.volume.predictor import VolumePredictor, place
from tests.helpers.toy import config, head

PIXELS = Preprocess(size=48, frame="head", level=True, channels="stroke")


def record(**changes: object) -> ModelConfig:
    """A record of a 3-D CNN that takes 46 planes of 48 x 48 pixels."""
    given = {"architecture": "cnn3d", "preprocess": PIXELS, "planes": Planes(depth=46, least=4), "name": "toy-volume"}
    return config("presence", **(given | changes))


@cache
def network() -> nn.Module:
    """A 3-D CNN with fixed random weights."""
    torch.manual_seed(3)
    return build("cnn3d").eval()


def predictor(**changes: object) -> VolumePredictor:
    return VolumePredictor(network(), record(**changes), "cpu")


def series(count: int = 6, **more: object) -> Volume:
    return Volume(tuple(head(i) for i in range(count)), **more)  # type: ignore[arg-type]


def test_a_series_that_lies_turned_is_answered_as_the_upright_one() -> None:
    upright = Volume(tuple(replace(image, edges=Edges("R", "L", "A", "P")) for image in series()))
    edges = Edges("P", "A", "R", "L")  # the front to the right
    turned = Volume(tuple(replace(i, pixels=np.rot90(i.pixels, 3).copy(), edges=edges) for i in upright))
    straight, found = (predictor().predict(volume, force=True) for volume in (upright, turned))
    assert found.logit == pytest.approx(straight.logit, abs=1e-4)
    here, there = found.slices[2].heat, straight.slices[2].heat
    assert here is not None
    assert there is not None
    side = upright[2].shape[0]
    moved = here.affine @ [side - 1 - 10, 30, 1]  # where the pixel (30, 10) went
    np.testing.assert_allclose(moved, there.affine @ [30, 10, 1], atol=1e-6)


class TestRecord:
    def test_a_volume_model_goes_through_its_folder(self, tmp_path: Path):
        saved = save_model(tmp_path / "m", network(), record(), "# A card\n")
        loaded = load_model(tmp_path / "m")[1]
        assert loaded == saved
        assert loaded.planes == Planes(46, 4)
        assert json.loads((tmp_path / "m" / "config.json").read_text())["planes"] == {"depth": 46, "least": 4}
        found = strokenext.load(tmp_path / "m", device="cpu", kind="series").predict(series())
        # The file holds half-precision kernels, so the two differ by their rounding.
        assert found.probability == pytest.approx(predictor().predict(series()).probability, abs=2e-3)

    def test_planes_belong_to_volume_models_alone(self):
        for wrong in ({"architecture": "cnn3d", "planes": None}, {"architecture": "unet"}):
            with pytest.raises(ValueError, match="a volume model, and no other"):
                record(**wrong)
        body = record().to_dict()
        del body["planes"]
        with pytest.raises(ModelError, match="a volume model, and no other"):
            ModelConfig.from_dict(body)
        assert "planes" not in config().to_dict()  # the files of slice models are as they were

    def test_another_kind_is_refused_with_the_one_to_ask_for(self, tmp_path: Path):
        save_model(tmp_path / "m", network(), record(), "# A card\n")
        with pytest.raises(ModelMismatchError, match=r"whole series.*kind='series'"):
            strokenext.load(tmp_path / "m", device="cpu", kind="slice")
        with pytest.raises(ModelMismatchError, match=r"single slices.*kind='slice'"):
            VolumePredictor(network(), config(), "cpu")

    def test_a_record_of_too_few_planes_for_the_network_is_a_sentence(self, tmp_path: Path):
        with pytest.raises(OptionError, match="46 or more a side, not 45 x 48 x 48"):
            save_model(tmp_path / "m", network(), record(planes=Planes(45, 4)), "# A card\n")


class TestPredict:
    def test_an_answer_with_its_rule_and_provenance(self):
        found = predictor().predict(series())
        z0, z1 = found.logits
        assert found.logit == pytest.approx(z1 - z0)
        assert found.probability == pytest.approx(1 / (1 + np.exp(-found.logit / 2.0)))  # the record's temperature
        assert found.label == ("stroke" if found.probability >= 0.4 else "non-stroke")
        assert (found.accepted, len(found), found.planes) == (6, 6, 46)
        assert found.provenance.preprocess["planes"] == {"depth": 46, "least": 4}
        assert found.provenance.precision == "float32"
        body = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert body["heat"]["grid"] == [2, 2, 2]
        assert len(body["slices"]) == 6

    def test_the_order_of_slices_matters(self):
        """A bleed low in the head is not one high in the head."""
        up = [head(0)] * 12
        yy, xx = np.mgrid[0:96, 0:96]
        blood = np.hypot(yy - 48, xx - 60) < 9
        up[2] = replace(up[2], pixels=np.where(blood, 70, up[2].pixels).astype(np.float32))
        down = list(reversed(up))
        a, b = (Planes(46, 4).apply(v, None, PIXELS).pixels[0] for v in (up, down))
        assert np.abs(a - b).max() > 0.5
        assert a == pytest.approx(b[::-1], abs=1e-5)
        deep = build("cnn3d").eval()
        with torch.no_grad():
            x = torch.from_numpy(np.stack([a, b]))[:, None]
            assert not torch.allclose(*deep(x))

    def test_a_batch_of_volumes_gives_each_its_own_answer(self):
        x = torch.from_numpy(np.stack([Planes(46, 4).apply(series(n).slices, None, PIXELS).pixels for n in (5, 9)]))
        with torch.no_grad():
            together, alone = network()(x), torch.cat([network()(one[None]) for one in x])
        assert torch.allclose(together, alone, atol=1e-5)

    def test_slices_that_the_gate_refuses_are_left_out(self):
        blank = Slice(np.zeros((96, 96), np.float32), "HU", spacing=(2.0, 2.0))
        mixed = Volume((blank, *series().slices, blank))
        found = predictor().predict(mixed)
        assert found.logits == pytest.approx(predictor().predict(series()).logits)
        assert [part.gate.accepted for part in found.slices] == [False, *[True] * 6, False]
        assert [part.heat is None for part in found.slices] == [True, *[False] * 6, True]
        assert predictor().predict(mixed, force=True).logits != pytest.approx(found.logits)
        known = tuple(Gate(i > 3, "", "x") for i in range(8))
        assert predictor().predict(mixed, gates=known).accepted == 4

    def test_too_few_slices_are_refused_in_a_sentence(self):
        found = predictor().predict(series(3))
        assert found.refused
        assert found.decision == "refused"
        assert (found.probability, found.maps, found.peak) == (None, None, None)
        assert found.gate.reason.startswith("3 of 3 slices show a head with brain")
        assert "at least 4. Open the whole series." in found.gate.reason
        assert found.to_json()["probability"] is None

    def test_one_slice_is_no_series(self):
        with pytest.raises(InputError, match="judges a whole series, and this is one slice"):
            predictor().predict(head())

    def test_a_moved_threshold_moves_the_band(self):
        found = predictor().predict(series(), threshold=0.6, explain=False)
        assert (found.threshold, found.band) == (0.6, pytest.approx((0.5, 0.7)))
        assert found.maps is None
        with pytest.raises(OptionError, match="between 0 and 1"):
            predictor().predict(series(), threshold=2)


class Sum(nn.Module):
    """Logit 1 is the mean of what is brighter than brain: its Grad-CAM is that map over its number of cells."""

    encoders = ("A",)
    stride, first = 8, 18.5

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        return (nn.functional.avg_pool3d(nn.functional.relu(x[:, :, 15:, 15:, 15:] - 0.8), 8),)

    def head(self, features: tuple[Tensor, ...]) -> Tensor:
        mean = features[0].mean((1, 2, 3, 4))
        return torch.stack([torch.zeros_like(mean), mean], 1)


class TestEvidence:
    def test_the_cells_of_the_network_lie_where_it_says(self):
        """Each cell of the last map reads a field of 38 voxels a side that is centred on first + stride * n."""
        deep = build("cnn3d").eval()
        for i, block in enumerate(deep.blocks):  # a max pool shows its gradient to one voxel only; a mean to all
            if isinstance(block, nn.MaxPool3d):
                deep.blocks[i] = nn.AvgPool3d(2)
        x = torch.rand(1, 1, 54, 54, 54, generator=torch.Generator().manual_seed(0)).requires_grad_()
        cells = deep.features(x)[0]
        assert cells.shape[2:] == (3, 3, 3)
        for n in range(3):
            (gradient,) = torch.autograd.grad(cells[0, :, n, 0, 0].sum(), x, retain_graph=True)
            field = torch.nonzero(gradient[0, 0].abs().sum((1, 2))).ravel()
            centre = deep.first + deep.stride * n
            assert (int(field[0]), int(field[-1])) == (centre - 18.5, centre + 18.5)

    def test_a_map_is_placed_on_its_cells_and_covers_the_frame(self):
        grid = np.arange(36, dtype=np.float32).reshape(1, 6, 6)
        wide, affine, side = place(grid, np.array([[2.0, 0, 5], [0, 2.0, 7]]), 80, 18.5, 8)
        assert side == wide.shape[1] * 8
        more = (wide.shape[1] - 6) // 2
        for n in range(6):  # the frame's pixel at a cell's centre falls on the centre of that cell's square
            x = 18.5 + 8 * n + (affine[0, 2] - 5)
            assert x == pytest.approx((n + more + 0.5) * 8 - 0.5)
            assert wide[0, n + more, more] == grid[0, n, 0]
        for edge in (0, 79):
            assert -0.5 <= edge + (affine[0, 2] - 5) <= side - 0.5

    def test_heat_lies_on_the_slice_and_the_side_of_the_lesion(self):
        slices = [head(0)] * 12
        yy, xx = np.mgrid[0:96, 0:96]
        blood = np.hypot(yy - 48, xx - 62) < 7  # right of the middle
        for i in (8, 9):
            slices[i] = replace(slices[i], pixels=np.where(blood, 78, slices[i].pixels).astype(np.float32))
        model = VolumePredictor(Sum(), record(planes=Planes(63, 4), preprocess=replace(PIXELS, size=64)), "cpu")
        volume = Volume(tuple(replace(s, pixels=np.where(s.pixels > 200, 20, s.pixels)) for s in slices))
        found = model.predict(volume, gates=[Gate(True)] * 12)
        assert found.maps.shape == (1, 6, 6, 6)
        assert found.peak in (7, 8, 9)
        heat = found.slices[found.peak].heat
        shown = part_of_scale(heat, (96, 96))
        assert shown[:, 48:].sum() > 3 * shown[:, :48].sum()
        assert found.slices[1].heat.peak < 0.1 * heat.peak

    def test_saved_files_hold_the_whole_map(self, tmp_path: Path):
        found = predictor().predict(series())
        place_ = found.save(tmp_path / "case")
        assert (place_ / "prediction.json").is_file()
        if found.peak is not None:
            assert np.load(place_ / "heat.npy").shape == (1, 2, 2, 2)
            assert (place_ / "overlay.png").read_bytes()[:4] == b"\x89PNG"

"""The TEKNOFEST preparation on drawn heads: noise goes, the head is cut out and centred, and masks stay in place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokenext.errors import DataError, InputError
from strokenext.io.read import read_slice
from strokenext.preprocess.contour import centring, contour_mask, denoised
from strokenext.preprocess.contract import FRAMES, Preprocess
from strokenext.types import Slice
from tests.helpers.dicom_files import ct, to_bytes
from tests.helpers.places import ROOT
from training.__main__ import main
from training.data import teknofest
from training.data.teknofest import CLASSIFICATION, SEGMENTATION, for_segmentation, steps
from training.drawing.phantom.head import head_phantom


def planted(middle: tuple[int, int], side: int = 256, axes: tuple[int, int] = (56, 70)) -> np.ndarray:
    """(side, side) grey 0..255: an ellipse of brain (115) in a skull (255) around `middle` (x, y), air black."""
    grey = np.zeros((side, side), np.float32)
    cv2.ellipse(grey, middle, axes, 0, 0, 360, 255, -1)
    cv2.ellipse(grey, middle, (axes[0] - 6, axes[1] - 6), 0, 0, 360, 115, -1)
    return grey


def with_table_and_speckle(grey: np.ndarray, seed: int = 0) -> np.ndarray:
    """A head rest of three pixels below the head, and one pixel in a hundred white or black."""
    out = grey.copy()
    cv2.line(out, (20, 245), (235, 245), 140, 3)
    chosen = np.random.default_rng(seed).random(out.shape)
    out[chosen < 0.005] = 255
    out[chosen > 0.995] = 0
    return out


def centroid(mask: np.ndarray) -> tuple[float, float]:
    ys, xs = np.nonzero(mask)
    return float(xs.mean()), float(ys.mean())


def test_speckle_goes_and_edges_stay() -> None:
    clean = planted((120, 110)) / 255
    noisy = with_table_and_speckle(planted((120, 110))) / 255
    noisy[240:250] = clean[240:250]  # without the table
    off_before, off_after = (np.abs(x - clean) > 0.05 for x in (noisy, denoised(noisy.astype(np.float32))))
    assert 0.005 < off_before.mean() < 0.01  # one in a hundred, less black on air and white on bone
    assert off_after.mean() < 0.0005
    column = denoised(clean.astype(np.float32))[110]
    assert np.array_equal(column, clean[110].astype(np.float32))  # a step across the picture is not moved or softened


def test_the_head_is_cut_out_of_table_and_speckle() -> None:
    grey = with_table_and_speckle(planted((100, 120)))
    mask = contour_mask(denoised(grey / np.float32(255)))
    truth = planted((100, 120)) > 0
    assert mask is not None
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    assert not mask[243:248].any()


@settings(max_examples=20, deadline=None)
@given(st.integers(66, 190), st.integers(80, 160), st.integers(38, 60), st.integers(0, 99))
def test_centring_brings_the_centroid_to_the_middle(x: int, y: int, width: int, seed: int) -> None:
    """Wherever the head was and whatever lay around it: within one pixel of the middle of the 224 pixel square."""
    grey = with_table_and_speckle(planted((x, y), axes=(width, 70)), seed)
    framed = CLASSIFICATION.framed(Slice(grey, "grey"))
    assert np.hypot(*np.subtract(centroid(framed.head), (111.5, 111.5))) < 1
    assert np.hypot(*np.subtract(centroid(framed.grey > 0.2), (111.5, 111.5))) < 1
    edge = np.concatenate([framed.head[0], framed.head[-1], framed.head[:, 0], framed.head[:, -1]])
    assert not edge.any()  # the whole head is inside
    assert framed.grey[~framed.head].max() == 0  # and nothing but the head


def test_an_asymmetric_head_is_inside_the_square() -> None:
    """A nose moves neither the centroid out of the middle nor itself out of the picture."""
    mask = np.zeros((200, 200), bool)
    mask[60:140, 70:130] = True
    mask[10:60, 98:102] = True
    affine = centring(mask, 100)
    x, y = affine @ [*centroid(mask), 1]
    assert (x, y) == pytest.approx((49.5, 49.5))
    corners = np.array([[70, 60, 1], [129, 139, 1], [98, 10, 1]]) @ affine.T
    assert corners.min() >= 0
    assert corners.max() <= 99
    with pytest.raises(ValueError, match="empty"):
        centring(np.zeros((4, 4), bool), 64)


@settings(max_examples=20, deadline=None)
@given(st.integers(90, 300), st.integers(90, 300), st.sampled_from([64, 96, 256]))
def test_for_segmentation_the_geometry_is_that_of_the_whole_picture(h: int, w: int, size: int) -> None:
    """Not one number of the affine differs from the plain square's: the head is not moved, turned or scaled."""
    pixels = np.zeros((h, w), np.float32)
    cv2.ellipse(pixels, (w // 3, h // 2), (w // 5, h // 3), 0, 0, 360, 110, -1)
    image = Slice(pixels, "grey")
    square = Preprocess(size=size).framed(image)
    framed = Preprocess(size=size, frame="contour-in-place").framed(image)
    assert np.array_equal(framed.affine, square.affine)
    assert (framed.head == (square.grey > 0.2)).mean() > 0.97


@pytest.mark.parametrize("kind", ["hemorrhage", "infarct"])
def test_image_and_mask_stay_together_in_segmentation(kind: str) -> None:
    """At the image's own size nothing is resampled: pixel for pixel the mask, and the image but for noise."""
    phantom = head_phantom(kind, size=256, seed=4, level=0.25)
    framed, (mask,) = for_segmentation(phantom.as_slice(), phantom.lesion[None])
    assert np.array_equal(mask, phantom.lesion)
    clean = steps(phantom.as_slice(), SEGMENTATION)["without noise"]
    assert np.array_equal(framed.grey[framed.head], clean[framed.head])
    assert framed.head[phantom.lesion].all()


def test_classification_moves_what_segmentation_leaves() -> None:
    image = Slice(planted((90, 150)), "grey")
    still, centred = SEGMENTATION.framed(image), CLASSIFICATION.framed(image)
    assert centroid(still.head) == pytest.approx((90, 150), abs=0.5)
    assert centroid(centred.head) == pytest.approx((111.5, 111.5), abs=0.5)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    phantom = head_phantom("hemorrhage", size=96)
    with pytest.raises(DataError, match="must be of one slice"):
        for_segmentation(phantom.as_slice(), phantom.lesion[None, 1:])
    with pytest.raises(DataError, match="moves the head"):
        for_segmentation(phantom.as_slice(), phantom.lesion[None], CLASSIFICATION)


def test_the_other_frames_are_as_they_were() -> None:
    """Bundled models were trained behind "head" and "square": their pixels on this phantom, before this preparation."""
    image = head_phantom("hemorrhage", 128, 3, noise=False).as_slice()
    sums = {f: float(Preprocess(64, frame=f).framed(image).grey.sum()) for f in FRAMES}
    assert sums["head"] == pytest.approx(1069.885, abs=0.01)
    assert sums["square"] == pytest.approx(861.194, abs=0.01)
    assert len({round(s) for s in sums.values()}) == 4


@pytest.mark.parametrize("frame", ["contour", "contour-in-place"])
def test_a_slice_without_a_head_still_has_a_shape(frame: str) -> None:
    prepared = Preprocess(size=64, frame=frame).apply(Slice(np.full((50, 70), -1000.0, np.float32), "HU"))
    assert prepared.pixels.shape == (3, 64, 64)
    assert np.isfinite(prepared.pixels).all()


def test_plain_channels_are_the_grey_levels_three_times() -> None:
    """What a network from the Keras world expects: 0..1, no ImageNet statistics."""
    image = Slice(np.full((64, 64), 51.0, np.float32), "grey")
    pixels = Preprocess(size=64, channels="plain").apply(image).pixels
    assert pixels.shape == (3, 64, 64)
    assert np.allclose(pixels, 0.2)


def test_dicom_goes_through_its_window(tmp_path: Path) -> None:
    """Stored values are no grey levels: the DICOM file and the phantom in HU are prepared alike."""
    phantom = head_phantom("hemorrhage", size=128, seed=2)
    file = tmp_path / "slice"
    stored = np.clip(np.rint(phantom.hu) + 1024, 0, 4095).astype(np.uint16)
    file.write_bytes(to_bytes(ct(stored)))

    read = CLASSIFICATION.framed(read_slice(file))
    made = CLASSIFICATION.framed(phantom.as_slice())
    assert np.abs(read.grey - made.grey).max() < 0.02  # HU are stored as whole numbers: 1/80 of the window


def test_the_stage_draws_the_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = teknofest.draw(head_phantom("infarct", size=128).as_slice())
    assert [a.get_title() for a in figure.axes] == list(teknofest.STEPS)
    example = ROOT / "assets" / "examples" / "hemorrhage.dcm"
    assert main(["teknofest", str(example), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "hemorrhage.dcm.steps.png")
    assert cv2.imread(str(tmp_path / "hemorrhage.dcm.steps.png")).shape[1] > 900
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"\0" * 400)
    assert main(["teknofest", str(broken), "--out", str(tmp_path)]) == InputError.exit_code

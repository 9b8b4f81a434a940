"""The cache holds what the manifest says: pixels, annotations and rows; built once, resumed, never half-open."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from strokenext.errors import DataError
from strokenext.preprocess.contract import Preprocess
from training.__main__ import main
from training.cache.planes import PLANES, SLICE_PLANES, annotation
from training.cache.store import Cache, build, open_cache
from training.data.images import open_image
from training.data.manifest import Manifest, Record, Scalar, write_manifest
from training.drawing.phantom.head import head_phantom

GREY, DEPTH, INNER, BLOOD, IGNORE = range(len(PLANES))


def write(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(".png", pixels)[1].tofile(file)


def ring(side: int, inner: int, outer: int) -> np.ndarray:
    """A mask 0 or 255 of a ring around the middle: oedema around a clot."""
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), outer, 255, -1)
    cv2.circle(mask, (side // 2, side // 2), inner, 0, -1)
    return mask


def record(name: str, presence: int | None, subtype: int | None, only: bool = False, **extra: Scalar) -> Record:
    return Record(
        f"{name}.png", "s", presence, subtype, f"s/{name}", f"s/{name}", name, "0" * 16, (160, 160), only, extra
    )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Six slices: normal, bleeding without a mask, with a closed rim, with an open rim, unlabelled, an infarct."""
    root = tmp_path_factory.mktemp("slices")
    edema = {"mask_of": "perihematomal edema"}
    records = (
        record("normal", 0, None),
        record("bleed", 1, 1, types="subdural", slice=7),
        record("rim", 1, 1, mask="masks/rim.png", **edema),
        record("open", 1, 1, mask="masks/open.png", **edema),
        record("far", None, None, away=4),
        record("infarct", 1, 0, True, mask="masks/rim.png", mask_of="infarct"),
    )
    head = head_phantom("normal", size=160, seed=1, noise=False).hu
    for i, r in enumerate(records):
        hu = head + np.random.default_rng(i).normal(0, 4, head.shape)
        write(root / r.path, np.rint(np.clip(hu / 80, 0, 1) * 255).astype(np.uint8))
    write(root / "masks" / "rim.png", ring(160, 12, 18))
    half = ring(160, 12, 18)
    half[:80] = 0
    write(root / "masks" / "open.png", half)
    return Manifest(root, records)


@pytest.fixture(scope="module")
def cache(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return build(manifest, tmp_path_factory.mktemp("cache"), SLICE_PLANES)


def test_rows_say_what_the_records_say(cache: Cache) -> None:
    assert [(r.presence, r.subtype) for r in cache.rows] == [
        (0, None),
        (1, 1),
        (1, 1),
        (1, 1),
        (None, None),
        (1, 0),
    ]
    assert (cache.rows[1].types, cache.rows[1].slice, cache.rows[1].unit) == ("subdural", 7, "s/bleed")
    assert [r.away for r in cache.rows] == [-1, -1, -1, -1, 4, -1]
    assert [r.evaluation_only for r in cache.rows] == [False] * 5 + [True]
    assert all(0.3 < r.brain < 0.9 for r in cache.rows)
    assert [r.lesion_free(3) for r in cache.rows] == [True, False, False, False, True, False]
    assert [r.lesion_free() for r in cache.rows] == [True, False, False, False, False, False]
    assert not cache.rows[4].lesion_free(5)


def test_grey_is_the_framed_slice_to_half_a_level(manifest: Manifest, cache: Cache) -> None:
    for i, r in enumerate(manifest):
        framed = Preprocess(224, frame="head", level=False).framed(open_image(manifest.file(r)))
        assert np.abs(cache.planes[i, GREY] / 255 - framed.grey).max() <= 0.5 / 255 + 1e-6
        assert not (cache.planes[i, INNER] > 0)[~framed.head].any()


def test_what_is_known_of_each_slice_by_pixel(manifest: Manifest, cache: Cache) -> None:
    blood, ignore = ((cache.planes[:, k] > 127).reshape(len(cache.rows), -1).sum(axis=1) for k in (BLOOD, IGNORE))
    assert ignore[0] == blood[0] == ignore[4] == blood[4] == 0  # nothing to know
    assert blood[1] == 0
    assert ignore[1] > 0.9 * 224**2
    assert blood[3] == 0
    assert ignore[3] > 0.9 * 224**2
    known, oedema = annotation(manifest, manifest.records[2], open_image(manifest.file(manifest.records[2])))
    assert known is not None
    assert oedema is not None
    assert known.sum() == pytest.approx(np.pi * 12**2, rel=0.1)  # what the ring encloses
    assert not (known & oedema).any()
    assert blood[5] == pytest.approx(ignore[2], rel=0.1)  # for evaluation: the infarct itself, drawn with the same ring


def test_an_infarct_that_may_be_trained_on_is_no_blood(manifest: Manifest) -> None:
    infarct = record("infarct", 1, 0, mask="masks/rim.png", mask_of="infarct")
    blood, ignore = annotation(manifest, infarct, open_image(manifest.file(infarct)))
    assert blood is None
    assert ignore is not None
    assert ignore.all()


def _smaller(manifest: Manifest, folder: Path) -> Path:
    pixels = cv2.imread(str(manifest.file(manifest.records[2])), cv2.IMREAD_GRAYSCALE)
    write(folder / "small.png", cv2.resize(pixels, (80, 80)))
    return folder / "small.png"


def test_beside_an_open_rim_the_bright_tissue_is_blood_and_the_rim_stays_open(tmp_path: Path) -> None:
    """phe_sich outlines most oedema as an open crescent; the clot beside it is a disc here, of known pixels."""
    hu = head_phantom("normal", size=160, seed=1, noise=False).hu + np.random.default_rng(3).normal(0, 2, (160, 160))
    y, x = np.indices(hu.shape)
    distance = np.hypot(x - 105, y - 80)
    clot, rim = distance < 9, (distance >= 10) & (distance < 14) & (x > 105)
    hu = np.where(clot, 62.0, hu)
    write(tmp_path / "crescent.png", np.rint(np.clip(hu / 80, 0, 1) * 255).astype(np.uint8))
    write(tmp_path / "masks" / "crescent.png", rim.astype(np.uint8) * 255)
    one = record("crescent", 1, 1, mask="masks/crescent.png", mask_of="perihematomal edema")
    blood, ignore = annotation(Manifest(tmp_path, (one,)), one, open_image(tmp_path / "crescent.png"))
    assert blood is not None
    assert ignore is not None
    assert 2 * (blood & clot).sum() / (blood.sum() + clot.sum()) > 0.9
    assert ignore[rim].all()
    assert not (blood & rim).any()


def test_a_mask_of_small_numbers_counts_and_an_empty_one_says_that_nothing_is_known(tmp_path: Path) -> None:
    """Annotation tools write 0 and 1; a bleed whose mask were read as empty would be taught as no bleed."""
    write(tmp_path / "a.png", np.full((160, 160), 90, np.uint8))
    write(tmp_path / "ones.png", ring(160, 12, 18) // 255)
    write(tmp_path / "none.png", np.zeros((160, 160), np.uint8))
    ones, none = (record("a", 1, 1, mask=f"{name}.png", mask_of="blood") for name in ("ones", "none"))
    blood, ignore = annotation(Manifest(tmp_path, (ones,)), ones, open_image(tmp_path / "a.png"))
    assert blood is not None
    assert np.array_equal(blood, ring(160, 12, 18) > 0)
    assert ignore is None
    blood, ignore = annotation(Manifest(tmp_path, (none,)), none, open_image(tmp_path / "a.png"))
    assert blood is None
    assert ignore is not None
    assert ignore.all()


def test_a_cache_of_other_labels_is_refused(manifest: Manifest, cache: Cache) -> None:
    cache.require_manifest(manifest)
    relabelled = Manifest(manifest.root, (replace(manifest.records[0], presence=1), *manifest.records[1:]))
    with pytest.raises(DataError, match="another manifest"):
        cache.require_manifest(relabelled)


def test_a_mask_of_another_size_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture of the size"):
        annotation(manifest, manifest.records[2], open_image(_smaller(manifest, tmp_path)))


def test_an_interrupted_build_goes_on_and_is_no_cache_before(manifest: Manifest, cache: Cache, tmp_path: Path) -> None:
    seen: list[str] = []

    def stop_at_four(m: Manifest, r: Record, framing: Preprocess) -> Any:
        if len(seen) == 4:
            raise KeyboardInterrupt
        seen.append(r.path)
        return SLICE_PLANES.make(m, r, framing)

    watched = replace(SLICE_PLANES, make=stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        build(manifest, tmp_path, watched)
    with pytest.raises(DataError, match="no whole cache"):
        open_cache(tmp_path)
    with (tmp_path / "rows.jsonl").open("a") as lines:
        lines.write('{"path": "torn')  # the process died within a line
    seen.clear()
    assert build(manifest, tmp_path, watched).rows == cache.rows
    assert seen == [r.path for r in manifest.records[4:]]
    assert np.array_equal(open_cache(tmp_path).planes, cache.planes)
    seen.clear()
    build(manifest, tmp_path, watched)
    assert not seen  # whole already


def test_another_frame_is_another_cache(manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_manifest(manifest, tmp_path / "manifest.jsonl")
    assert main(["cache", str(file), str(tmp_path / "c"), "--frame", "square", "--size", "96"]) == 0
    assert "6 slices of 6 patients or groups, 96 pixels, frame square" in capsys.readouterr().out
    made = open_cache(tmp_path / "c")
    assert made.size == 96
    framed = Preprocess(96, frame="square").framed(open_image(manifest.file(manifest.records[0])))
    assert np.abs(made.planes[0, GREY] / 255 - framed.grey).max() <= 0.5 / 255 + 1e-6
    made.require(SLICE_PLANES, "square", (80.0, 40.0))
    with pytest.raises(DataError, match="--frame head"):
        made.require(SLICE_PLANES, "head", (80.0, 40.0))
    with pytest.raises(DataError, match="--window 40 40"):
        made.require(SLICE_PLANES, "square", (40.0, 40.0))


def test_a_damaged_folder_is_refused(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(DataError, match="no whole cache"):
        open_cache(tmp_path)
    (tmp_path / "cache.json").write_text(json.dumps({"format": "another"}))
    (tmp_path / "rows.jsonl").write_text("")
    np.save(tmp_path / "planes.npy", np.zeros((0, 5, 8, 8), np.uint8))
    with pytest.raises(DataError, match="is not a strokenext-cache/2"):
        open_cache(tmp_path)

"""Pictures numbered one after the other are one series only where they look like slices of one scan."""

from __future__ import annotations

import csv
from collections import defaultdict
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from strokenext import read_any, read_series, survey
from strokenext.io.series import resemblance
from strokenext.types import Slice
from tests.helpers import places

#: Scans of the reference data that are looked at, and folders made of pictures of as many patients.
FOLDERS = 24


def head(patient: int, level: float, side: int = 128) -> NDArray[np.uint8]:
    """A head at a level from 0 (base) to 1 (top): every patient lies elsewhere, turned and shaped in their own way."""
    rng = np.random.default_rng(patient)
    (x0, y0), turn = rng.uniform(-0.16, 0.16, 2), rng.uniform(-0.4, 0.4)
    wide, high, dark = rng.uniform(0.5, 0.72), rng.uniform(0.62, 0.85), rng.uniform(0.1, 0.35)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    x, y = x - x0, y - y0 + 0.1 * level
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    size = 1 - 0.8 * max(0.0, level - 0.3) ** 2
    radius = np.hypot(x / wide, y / high) / size
    inner = np.hypot(x / dark, (y - 0.1) / 0.4)
    picture = np.where(radius < 0.9, 110, np.where(radius < 1, 250, 0))
    picture[(inner < np.sin(np.pi * level)) & (radius < 0.8)] = 40
    noise = np.random.default_rng(round(1e6 * level) + patient).normal(0, 8, picture.shape)
    return np.clip(picture + noise * (radius < 1), 0, 255).astype(np.uint8)


def png_of(picture: NDArray[np.uint8], first: int | None = None) -> bytes:
    """As a PNG, whose pixel (0, 0) is `first`."""
    if first is not None:
        picture = picture.copy()
        picture[0, 0] = first
    target = BytesIO()
    Image.fromarray(picture).save(target, "PNG")
    return target.getvalue()


def scan(patient: int, count: int) -> list[NDArray[np.uint8]]:
    step = min(0.05, 0.8 / count)
    return [head(patient, 0.5 + step * (n - count / 2)) for n in range(count)]


def stored(folder: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        (folder / f"{number:03}.png").write_bytes(png_of(picture, number))
    return folder


def codes(image: object) -> set[str]:
    return {caution.code for caution in image.cautions}  # type: ignore[attr-defined]


def sizes(folder: Path) -> list[int]:
    return [one.images for one in survey(folder).series]


@pytest.mark.parametrize("count", [3, 5, 12, 40])
def test_slices_of_one_scan_are_one_series_and_that_is_said(tmp_path: Path, count: int) -> None:
    folder = stored(tmp_path / "one", scan(4, count))
    volume = read_series(folder)
    assert [int(s.pixels[0, 0]) for s in volume] == list(range(1, count + 1))
    assert {"pictures-joined", "order-unknown"} <= codes(volume)


@pytest.mark.parametrize("count", [3, 5, 12, 40])
@pytest.mark.parametrize("level", [None, 0.5])
def test_numbered_pictures_of_many_patients_are_as_many_cases(tmp_path: Path, count: int, level: float | None) -> None:
    """At any level, or all at the level that a data set shows of every patient."""
    levels = np.random.default_rng(9).uniform(0.1, 0.9, count) if level is None else [level] * count
    folder = stored(tmp_path / "many", [head(10 + n, at) for n, at in enumerate(levels)])
    found = survey(folder)
    assert [one.images for one in found.series] == [1] * count
    assert found.chosen is None
    for number in (1, count):
        one = found.read(number)
        first = one if isinstance(one, Slice) else one[0]
        assert int(first.pixels[0, 0]) == number
        assert "pictures-apart" in codes(one)
    assert {"pictures-apart", "several-series"} <= codes(read_series(folder))


def test_two_scans_numbered_through_are_two_series(tmp_path: Path) -> None:
    assert sizes(stored(tmp_path / "two", scan(2, 14) + scan(3, 11))) == [14, 11]


def test_a_scan_in_any_other_order_is_no_series(tmp_path: Path) -> None:
    pictures = scan(4, 16)
    order = np.random.default_rng(1).permutation(16)
    assert sizes(stored(tmp_path / "shuffled", [pictures[i] for i in order])) == [1] * 16


def test_blank_and_broken_pictures_cost_a_scan_nothing(tmp_path: Path) -> None:
    pictures = [*scan(4, 12), np.zeros((128, 128), np.uint8)]
    folder = stored(tmp_path / "blank", pictures)
    (folder / "006.png").write_bytes(png_of(pictures[5])[:900])
    assert sizes(folder) == [13]
    volume = read_series(folder)
    assert len(volume) == 12
    assert "files-left-out" in codes(volume)


def test_pictures_that_show_nothing_are_no_series(tmp_path: Path) -> None:
    assert sizes(stored(tmp_path / "nothing", [np.full((32, 32), 7, np.uint8)] * 4)) == [1] * 4


def test_bytes_without_names_are_looked_at_like_files() -> None:
    assert len(read_any([png_of(one) for one in scan(4, 8)])) == 8  # type: ignore[arg-type]
    for count in (2, 8):
        one = read_any([png_of(head(30 + n, 0.5)) for n in range(count)])
        assert {"several-series", "pictures-apart"} <= codes(one)


@pytest.mark.parametrize("source", ["ct_ich", "phe_sich"])
def test_real_scans_are_one_series_and_real_patients_never_are(source: str) -> None:
    """Of a patient's pictures most stay together; of folders mixed of patients at most one in twelve joins any."""
    table = places.SHARED / source / "slices.csv"
    if not table.is_file():
        pytest.skip("the reference pictures of ../shared are absent")
    patients: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if not row.get("duplicate_of"):
                patients[row["patient"]].append((int(row["slice"]), table.parent / row["image"]))
    chosen = [sorted(patients[name]) for name in sorted(patients)[:FOLDERS]]
    scans = [[p for p in (shown(path) for _, path in one) if p is not None] for one in chosen]
    assert sum(max(map(len, resemblance.parts(one))) < 0.8 * len(one) for one in scans) <= FOLDERS // 12
    rng = np.random.default_rng(5)
    mixed = [[one[rng.integers(len(one))] for one in scans] for _ in range(FOLDERS)]
    level = [[one[len(one) * part // 100] for one in scans] for part in range(30, 30 + 2 * FOLDERS, 2)]
    for folders in (mixed, level):
        assert sum(any(len(part) > 1 for part in resemblance.parts(one)) for one in folders) <= FOLDERS // 12


def shown(path: Path) -> object:
    """The picture as it is compared; reduced while it is read, which changes nothing at this size."""
    with Image.open(path) as opened:
        opened.draft("L", (256, 256))
        pixels = np.asarray(opened.convert("L"), dtype=np.float32)
    return resemblance.shrunk(Slice(pixels, "grey"))

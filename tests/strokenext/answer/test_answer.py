"""An answer as a folder: pictures, maps and a record with their checksums, whole or not at all."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from strokenext import saving
from strokenext.cascade import triage
from strokenext.errors import OutputError
from strokenext.frame.framed import NOTICE
from strokenext.types import Gate
from tests.helpers.reading import stands_on
from tests.helpers.toy import head, predictor, series

pytestmark = pytest.mark.usefixtures("gate")
REFUSE = Gate(False, "This is a photograph, not a head CT.", "photo")


def test_save_writes_pictures_map_and_manifest(tmp_path: Path) -> None:
    found = predictor().predict(head())
    place = found.save(tmp_path / "deep" / "case")
    assert place == tmp_path / "deep" / "case"
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png", "overlay.png", "heat.npy"}
    assert found.heat is not None
    np.testing.assert_array_equal(np.load(place / "heat.npy"), found.heat.maps)
    record = json.loads((place / "prediction.json").read_text())
    assert record["probability"] == found.probability
    assert set(record["files"]) == {"slice.png", "overlay.png", "heat.npy"}
    plain, drawn = (cv2.imread(str(place / name)) for name in ("slice.png", "overlay.png"))
    assert plain.shape == (96, 96, 3)  # the pixels alone
    assert stands_on(drawn[:, :, ::-1], f"{found.headline} {NOTICE}", 14)  # in its frame, six times as large
    assert found.save(tmp_path / "deep" / "case") == tmp_path / "deep" / "case-2"
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["case", "case-2"]


def test_save_without_evidence_and_of_series_and_triage(tmp_path: Path, gate: dict[str, Gate]) -> None:
    models = {"presence": predictor(), "subtype": predictor("subtype")}
    place = triage(head(), **models).save(tmp_path / "triage")  # type: ignore[arg-type, union-attr]
    names = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    assert names == {
        "prediction.json",
        "slice.png",
        "overlay.png",
        "heat.npy",
        "subtype/overlay.png",
        "subtype/heat.npy",
    }
    place = predictor().predict_volume(series(2)).save(tmp_path / "series")
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png"}
    place = triage(series(2), **models).save(tmp_path / "both")  # type: ignore[arg-type]
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png", "overlay.png", "heat.npy", "subtype"}
    gate[head().sha256] = REFUSE
    place = predictor().predict(head()).save(tmp_path / "refused")
    assert {p.name for p in place.iterdir()} == {"prediction.json", "slice.png"}


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictor().predict(head())
    write, count = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        count.append(self)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        found.save(tmp_path / "new" / "case")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="another folder"):
        found.save(tmp_path / "file" / "case")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(saving.os, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        saving.write_folder(tmp_path / "case", {"a": b"1"})
    assert list(tmp_path.iterdir()) == []

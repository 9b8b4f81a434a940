"""The picture of a batch: what stands over each slice, read from the figure itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from strokenext import overlay
from strokenext.errors import DataError, OptionError
from strokenext.types import Slice
from tests.helpers import toy
from training.__main__ import main
from training.data.manifest import Manifest, Record, write_manifest
from training.data.reading import LabelledFile
from training.drawing.phantom.head import head_phantom
from training.report import batch_figure
from training.report.batch_figure import (
    RIGHT,
    UNKNOWN,
    WRONG,
    Tile,
    draw,
    from_folder,
    from_manifest,
    predict_tiles,
    truth,
)
from training.splits.split import Split, write_split


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three classes of one PNG each, an OVERLAY of one of them, and a note."""
    for n, (name, kind) in enumerate({"Normal": "normal", "Bleeding": "hemorrhage", "Ischemia": "infarct"}.items()):
        grey = np.clip(head_phantom(kind, 96, n).hu / 80 * 255, 0, 255).astype(np.uint8)
        for folder in ("PNG", "OVERLAY")[: 1 + (n == 1)]:
            (tmp_path / "data" / name / folder).mkdir(parents=True)
            Image.fromarray(grey).save(tmp_path / "data" / name / folder / f"{n}.png")
    (tmp_path / "data" / "notes.txt").write_text("nothing")
    return tmp_path / "data"


def titles(figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def test_each_slice_bears_truth_answer_and_confidence() -> None:
    """Log-odds 2 at temperature 2: probability 1 / (1 + exp(-1)) = 0.731 of the positive class."""
    predictor = toy.predictor(log_odds=2.0)
    answer = predictor.predict(toy.head(), force=True)
    tiles = [Tile(toy.head(), truth, answer) for truth in ("stroke", "non-stroke", None)]
    figure = draw(predictor, tiles)
    assert titles(figure) == [
        "true: stroke\npredicted: stroke 0.73",
        "true: non-stroke\npredicted: stroke 0.73",
        "true: not known\npredicted: stroke 0.73",
    ]
    colours = [to_hex(axes.title.get_color()) for axes in figure.axes]
    assert colours == [to_hex(c) for c in (RIGHT, WRONG, UNKNOWN)]
    assert figure.get_suptitle() == "toy-presence (toy), presence, threshold 0.40: 1 of 2 right"


def test_confidence_is_of_the_class_that_is_named() -> None:
    """Log-odds -3 at temperature 2: the stroke has 0.18, so non-stroke is named with 0.82."""
    predictor = toy.predictor(log_odds=-3.0)
    assert Tile(toy.head(), None, predictor.predict(toy.head(), force=True)).caption().endswith("non-stroke 0.82")


def test_what_is_undecided_or_out_of_scope_is_said() -> None:
    undecided = toy.predictor(log_odds=-0.7)  # probability 0.413, inside the band 0.3 to 0.5
    caption = Tile(toy.head(), None, undecided.predict(toy.head(), force=True)).caption()
    assert caption.endswith("stroke 0.41 (indeterminate)")
    blank = Slice(np.full((96, 96), -1000.0, np.float32), "HU")
    caption = Tile(blank, None, toy.predictor().predict(blank, force=True)).caption()
    assert "out of scope" in caption


def test_the_pixels_are_those_of_the_page() -> None:
    predictor = toy.predictor()
    for heat in (False, True):
        answer = predictor.predict(toy.head(), explain=heat, force=True)
        shown = np.asarray(draw(predictor, [Tile(toy.head(), None, answer)]).axes[0].images[0].get_array())
        plain = overlay.render(toy.head(), None, window=answer.window)
        assert np.array_equal(shown, overlay.render(toy.head(), answer.heat, window=answer.window))
        assert np.array_equal(shown, plain) != heat


def test_class_folders_give_the_truth_and_overlays_are_no_images(pictures: Path) -> None:
    found = {s.file.name: (truth(s, "presence"), truth(s, "subtype")) for s in from_folder(pictures)}
    assert found == {
        "0.png": ("non-stroke", None),
        "1.png": ("stroke", "hemorrhagic"),
        "2.png": ("stroke", "ischemic"),
    }
    assert [truth(s, "subtype") for s in from_folder(pictures / "Ischemia" / "PNG")] == [None]
    (pictures / "Ischemia" / "PNG" / "2.png").rename(pictures / "Ischemia" / "2.png")
    (pictures / "Ischemia" / "PNG").rmdir()
    assert [truth(s, "subtype") for s in from_folder(pictures / "Ischemia")] == ["ischemic"]


def test_slices_without_the_tasks_label_are_left_out_where_others_have_one(pictures: Path) -> None:
    tiles = predict_tiles(toy.predictor("subtype"), from_folder(pictures), 16)
    assert sorted(str(t.truth) for t in tiles) == ["hemorrhagic", "ischemic"]
    unlabelled = [LabelledFile(f.file, "") for f in from_folder(pictures)] + [LabelledFile(pictures / "notes.txt", "")]
    assert [t.truth for t in predict_tiles(toy.predictor("subtype"), unlabelled, 16)] == [None] * 3
    assert len(predict_tiles(toy.predictor(), from_folder(pictures), 2)) == 2
    with pytest.raises(DataError, match="None of the 1 files"):
        predict_tiles(toy.predictor(), [LabelledFile(pictures / "notes.txt", "")], 4)


def test_manifest_and_split_choose_the_slices(pictures: Path, tmp_path: Path) -> None:
    records = tuple(
        Record(f"{c}/PNG/{n}.png", "mine", int(n > 0), None, None, str(n), "0" * 64, "0" * 16, (96, 96), False, {})
        for n, c in enumerate(("Normal", "Bleeding", "Ischemia"))
    )
    manifest = write_manifest(Manifest(pictures, records, {}), tmp_path / "manifest.jsonl")
    parts = {"train": (records[0].path,), "validation": (), "test": (records[1].path, records[2].path)}
    split = write_split(Split("published", "presence", 0, False, parts), tmp_path / "split.json")
    assert len(from_manifest(manifest)) == 3
    assert [truth(s, "presence") for s in from_manifest(manifest, split)] == ["stroke", "stroke"]


def test_the_stage_writes_the_picture(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch_figure, "load", lambda model, **_: toy.predictor())
    out = tmp_path / "figures" / "batch.png"
    assert main(["figure", "toy", "--images", str(pictures), "--heat", "--count", "2", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"2 slices in {out}\n"
    with Image.open(out) as picture:
        assert picture.size[0] > 500
    assert main(["figure", "toy", "--images", str(pictures), "--out", "batch.txt"]) == OptionError.exit_code
    assert main(["figure", "toy", "--images", "nowhere", "--out", str(out)]) == DataError.exit_code

"""The benchmark counts what can be counted by hand, and times what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from strokenext.errors import ModelNotFoundError
from strokenext.explain import gradcam as explain
from strokenext.models import build
from training.__main__ import main
from training.experiments import benchmark as b


def test_operations_of_the_small_cnn_by_hand() -> None:
    convolutions = [(3, 32, 254)] + [(32 if i == 0 else 64, 64, side) for i, side in enumerate((125, 60, 28, 12, 4))]
    by_hand = sum(2 * 9 * i * o * side * side for i, o, side in convolutions) + 2 * (256 * 64 + 64 * 2)
    assert b.flops("small_cnn", (3, 256, 256)) == by_hand


def test_full_graph_gradcam_is_the_head_only_result() -> None:
    torch.manual_seed(0)
    model, x = build("strokenext_atto").eval(), torch.randn(1, 3, 64, 64)
    for full, fast in zip(b.full_graph(model, x), explain.heat(model, x, 1)[1], strict=True):
        assert torch.allclose(full[0].detach(), torch.from_numpy(fast), rtol=1e-3, atol=1e-7)


def test_command_measures_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.json"
    flags = [
        "--models",
        "small_cnn",
        "--repeats",
        "4",
        "--seconds",
        "600",
        "--batch",
        "2",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    assert main(["benchmark", *flags, "--reference", "small_cnn", "--size", "256"]) == 0
    found = json.loads(out.read_text())
    row = found["rows"][0]
    assert row["parameters"] == 183_682
    assert 0 < row["latency_ms"] <= row["latency_p90_ms"]
    assert row["repeats"] == 4
    assert row["batch"] == 2
    assert row["gradcam_hooks_ms"] > 0
    assert found["environment"]["hardware"]
    assert found["skipped"] == []
    told = capsys.readouterr().out
    assert "| 1.00 |" in told
    assert found["environment"]["hardware"] in told


def test_volumes_and_masks_are_rows_like_any_other() -> None:
    assert b.shape_of("cnn3d", b.Settings(size=32)) == (1, 64, 32, 32)
    settings = b.Settings(size=32, repeats=3, batch=1, isolated=False)
    rows, left = b.benchmark(["unet"], settings)
    assert left == []
    assert rows[0].gradcam_head_ms is None
    assert rows[0].images_per_second == pytest.approx(1000 / rows[0].latency_ms)


def test_what_does_not_fit_or_comes_too_late_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(b, "_too_large", lambda name, _: "no room" if name == "vgg16" else "")
    rows, left = b.benchmark(["vgg16", "small_cnn"], b.Settings(isolated=False), minutes=-1)
    assert rows == []
    assert left == [{"name": n, "why": "-1 minutes had gone by"} for n in ("small_cnn", "vgg16")]
    _, left = b.benchmark(["vgg16"], b.Settings(isolated=False))
    assert left == [{"name": "vgg16", "why": "no room"}]


def test_times_stop_when_their_seconds_are_over_and_the_ninth_tenth_is_one_of_them() -> None:
    quick = b.Settings(repeats=7, seconds=0.0)
    assert len(b.times_ms(lambda: None, torch.device("cpu"), quick)) == b.LEAST
    assert len(b.times_ms(lambda: None, torch.device("cpu"), b.Settings(repeats=7))) == 7
    assert b.p90([5, 1, 2, 3, 4, 6, 7, 8, 9, 10]) == 9


def test_unknown_names_are_refused_before_any_work() -> None:
    with pytest.raises(ModelNotFoundError):
        b.benchmark(["resnet51"], b.Settings())
    assert main(["benchmark", "--models", "small_cnn", "--reference", "resnet51"]) == ModelNotFoundError.exit_code

"""The benchmark counts what can be counted by hand, and times what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from strokenext import explain
from strokenext.errors import DataError, ModelNotFoundError
from strokenext.models import build
from training import benchmark as b
from training.__main__ import main


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
    given = [
        "benchmark",
        "--models",
        "small_cnn",
        "--repeats",
        "2",
        "--batch",
        "2",
        "--threads",
        "1",
        "--out",
        str(out),
    ]
    assert main([*given, "--reference", "small_cnn", "--size", "256"]) == 0
    found = json.loads(out.read_text())
    assert found["rows"][0]["parameters"] == 183_682
    assert found["rows"][0]["gradcam_hooks_ms"] > 0
    assert found["environment"]["hardware"]
    assert "1.00×" in capsys.readouterr().out


def test_unknown_names_are_refused_before_any_work() -> None:
    with pytest.raises(ModelNotFoundError):
        b.benchmark(["resnet51"], b.Settings())
    with pytest.raises(DataError, match="not among the measured"):
        b.table([], "resnet50")

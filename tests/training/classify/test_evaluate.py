"""A checkpoint and a manifest to a result file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from strokenext.errors import DataError
from tests.helpers.model_folders import model_folder
from tests.training.data.test_prepare import save
from training.__main__ import main
from training.measure import result as results


def test_evaluate_command_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(4):
        save(tmp_path / "set" / "Normal" / f"{i}.png", i)
        save(tmp_path / "set" / "Stroke" / f"{i}.png", 10 + i)
    assert main(["prepare", "--source", f"s={tmp_path / 'set'}", "--out", str(tmp_path / "d"), "--no-sheets"]) == 0
    manifest, folder, out = str(tmp_path / "d" / "manifest.jsonl"), model_folder(tmp_path), tmp_path / "r.json"
    assert main(["evaluate", "--model", str(folder), "--manifest", manifest, "--out", str(out), "--batch", "3"]) == 0
    found = results.read_result(out)
    assert len(found.predictions) == 8
    assert found.model["temperature"] == 1.5
    assert found.data["seconds_per_image"] > 0
    assert "8 slices" in capsys.readouterr().out
    first = out.read_text()
    main(["evaluate", "--model", str(folder), "--manifest", manifest, "--out", str(out), "--batch", "8"])
    again = results.read_result(out)
    assert np.allclose(again.predictions.logits, found.predictions.logits, atol=2e-4)  # no batch effect
    assert json.loads(first)["model"] == json.loads(out.read_text())["model"]
    assert main(["evaluate", "--compare", str(out), str(out)]) == 0
    assert main(["evaluate", "--model", str(folder)]) == DataError.exit_code

"""Models that cannot be used: the log says which and why, the health route says so and names no place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from demo.server import build_api
from demo.settings import Settings
from tests.helpers.tiny_models import NAMES, pair

WEIGHTS, RECORD = "model.safetensors", "config.json"


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2000] ^= 0xFF
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "one byte of the weights": (WEIGHTS, flipped),
    "half of the weights": (WEIGHTS, lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
    "no weights": (WEIGHTS, lambda path: path.write_bytes(b"")),
    "other weights": (WEIGHTS, lambda path: path.write_bytes(bytes(5000))),
    "weights gone": (WEIGHTS, lambda path: path.unlink()),
    "record cut": (RECORD, lambda path: path.write_bytes(path.read_bytes()[:50])),
    "record gone": (RECORD, lambda path: path.unlink()),
    "a folder for weights": (WEIGHTS, lambda path: (path.unlink(), path.mkdir())),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("task", NAMES)
@pytest.mark.parametrize("given", [False, True], ids=["bundled", "folder"])
def test_a_damaged_model_is_logged_and_said_without_its_place(tmp_path, monkeypatch, caplog, damage, task, given):
    shutil.copytree(pair(), tmp_path / "models")
    name, spoil = DAMAGE[damage]
    spoil(tmp_path / "models" / NAMES[task] / name)
    monkeypatch.setenv("STROKENEXT_ASSETS", str(tmp_path / "models"))
    chosen = {task: str(tmp_path / "models" / NAMES[task])} if given else {}
    app, service = build_api(Settings(device="cpu", **chosen))
    with TestClient(app) as client:
        service.wait(60)
        health = client.get("/health")
        refusal = client.post("/predict", files={"file": b"x"}, data={"task": task})
    said = health.json()
    assert said["status"] == ("failed" if task == "presence" else "degraded")
    assert said["ready"] is (task == "subtype")
    assert said["models"][task] is False
    assert f"The {task} model" in said["message"]
    assert said["message"].endswith(".")
    assert refusal.status_code == 500
    for text in (health.text, refusal.text):
        assert str(tmp_path) not in text
        assert "models/" not in text
    lines = [r for r in caplog.records if r.name == "strokenext.service"]
    assert len(lines) == 1
    assert task in lines[0].getMessage()
    assert "cannot be used" in lines[0].getMessage()
    assert "Traceback" not in caplog.text
    assert lines[0].exc_info is None

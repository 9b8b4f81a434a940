"""Publishing to a loopback Hub: what is uploaded is the dry run's tree, and it loads back by the printed revision."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from strokenext.errors import DataError, HubUnavailableError, ModelMismatchError
from strokenext.record.find import resolve
from strokenext.record.weights import load_model
from tests.helpers.hub_server import Handler, HubServer, Repo, hub_server
from tests.helpers.model_folders import model_folder
from training import publish
from training.__main__ import main


class Writing(Handler):
    """The Hub's writing routes: create, validate the card, ask how to upload, commit small files."""

    server: HubServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.log.append(f"POST {self.path}")
        if self.server.status is not None:
            return self._send(self.server.status)
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[1:] == ["repos", "create"]:
            given = json.loads(body)
            owner = given.get("organization") or "me"
            self.server.repos.setdefault(f"{owner}/{given['name']}", Repo())
            return self._json({"url": f"{self.server.url}/{owner}/{given['name']}"})
        if parts[1] == "validate-yaml":
            wrong = not json.loads(body)["content"].startswith("---")
            return self._json(
                {"errors": [{"message": "no metadata"}] if wrong else [], "warnings": []}, 400 if wrong else 200
            )
        repo = "/".join(parts[2:4])
        if parts[4] == "preupload":
            files = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {v["value"]["path"]: base64.b64decode(v["value"]["content"]) for v in lines if v["key"] == "file"}
        commit = self.server.repos[repo].commit(files)
        return self._json({"commitUrl": f"{self.server.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _json(self, values: object, status: int = 200) -> None:
        self._send(status, {"Content-Type": "application/json"}, json.dumps(values).encode())


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_server() as server:
        server.RequestHandlerClass = Writing
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def test_model_is_uploaded_as_the_dry_run_says_and_loads_by_revision(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder(tmp_path)
    assert main(["publish", "model", "--model", str(folder), "--dry-run", str(tmp_path / "tree")]) == 0
    assert not hub.repos
    assert main(["publish", "model", "--model", str(folder), "--repo", "me/stroke"]) == 0
    repo = hub.repos["me/stroke"]
    commit = repo.refs["main"]
    tree = {p.name: p.read_bytes() for p in (tmp_path / "tree").iterdir()}
    assert repo.commits[commit] == tree
    assert set(tree) == {"config.json", "model.safetensors", "README.md"}
    assert f"me/stroke@{commit}" in capsys.readouterr().out
    _, config = load_model(resolve(f"me/stroke@{commit}", "presence")[0])
    assert config.name == "small-presence"


def test_a_model_that_does_not_verify_never_leaves(hub: HubServer, tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ModelMismatchError):
        publish.lay_out_model(folder, tmp_path / "tree")
    assert main(["publish", "model", "--model", str(folder), "--repo", "me/stroke"]) == ModelMismatchError.exit_code
    assert not hub.repos


def test_refusals_are_sentences(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = model_folder(tmp_path)
    assert main(["publish", "model", "--model", str(folder)]) == DataError.exit_code
    (folder / "README.md").write_text("no front matter", encoding="utf-8")
    assert main(["publish", "model", "--model", str(folder), "--repo", "me/x"]) == DataError.exit_code
    assert "no model card with front matter" in capsys.readouterr().err
    with pytest.raises(DataError, match="does not accept the front matter"):
        publish.upload(folder, "me/x", "model", "message")
    hub.status = 403
    with pytest.raises(HubUnavailableError, match="HF_TOKEN may write"):
        publish.upload(folder, "me/x", "model", "message")
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").touch()
    with pytest.raises(DataError, match="not empty"):
        publish._copy([], full)


def small_repository(root: Path) -> Path:
    for name in publish.SPACE_PATHS:
        file = root / name if "." in name or name == "LICENSE" else root / name / "__init__.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#", encoding="utf-8")
    (root / "demo" / "__pycache__").mkdir()
    (root / "demo" / "__pycache__" / "x.pyc").touch()
    front = "title: StrokeNeXt\nsdk: gradio\nsdk_version: 6.31.0\npython_version: '3.12'\napp_file: app.py\n"
    (root / "README.md").write_text(f"---\n{front}---\n# StrokeNeXt\n", encoding="utf-8")
    return root


def test_space_tree_holds_what_it_needs_and_no_caches(tmp_path: Path) -> None:
    names = {p.as_posix() for p in publish.lay_out_space(tmp_path / "out", small_repository(tmp_path / "r"))}
    assert {"app.py", "README.md", "demo/__init__.py", "strokenext/__init__.py", "assets/__init__.py"} <= names
    assert not any("pycache" in n for n in names)


def test_space_without_valid_front_matter_is_refused(tmp_path: Path) -> None:
    root = small_repository(tmp_path / "r")
    (root / "README.md").write_text("---\nsdk: gradio\n---\n", encoding="utf-8")
    with pytest.raises(DataError, match="lacks title, sdk_version"):
        publish.lay_out_space(tmp_path / "out", root)
    (root / "README.md").write_text("---\ntitle: [StrokeNeXt\n---\n", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        publish.lay_out_space(tmp_path / "out", root)
    (root / "LICENSE").unlink()
    with pytest.raises(DataError, match="needs LICENSE"):
        publish.lay_out_space(tmp_path / "out", root)


def test_space_upload(hub: HubServer, tmp_path: Path) -> None:
    publish.lay_out_space(tmp_path / "tree", small_repository(tmp_path / "r"))
    commit = publish.upload(tmp_path / "tree", "me/page", "space", "message")
    assert "demo/__init__.py" in hub.repos["me/page"].commits[commit]
    assert any(line.startswith("POST /api/spaces/me/page/commit/main") for line in hub.log)

"""From a Hub id to a verified model, against a loopback server that speaks the Hub's routes; no network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from strokenext.errors import (
    HubUnavailableError,
    ModelError,
    ModelMismatchError,
    ModelNotFoundError,
    OptionError,
    StrokeNeXtError,
)
from strokenext.models import build
from strokenext.record.find import resolve, revision_of
from strokenext.record.hub import HubId, parse
from strokenext.record.weights import load_model, save_model
from strokenext.types import Progress
from tests.helpers.hub_server import HubServer, Repo, files_of, hub_server
from tests.helpers.model_folders import CARD, model_folder, record


def model_files(
    model: str, task: str | None = None, revision: str | None = None, progress: Progress | None = None
) -> Path:
    """The folder of a model."""
    return resolve(model, task, revision, progress)[0]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A server with an empty cache of its own, and nobody logged in."""
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    return files_of(model_folder(tmp_path))


@pytest.fixture
def repo(hub: HubServer, files: dict[str, bytes]) -> Repo:
    """ "ward/stroke" with one commit on main."""
    hub.repos["ward/stroke"] = made = Repo()
    made.commit(files)
    return made


def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub" / "models--ward--stroke"


def downloaded(hub: HubServer) -> list[str]:
    """The requests for the bytes of a file."""
    return [line for line in hub.log if line.startswith("GET") and "/resolve/" in line]


def refused(
    error: type[StrokeNeXtError], sentence: str, model: str = "ward/stroke", revision: str | None = None
) -> None:
    with pytest.raises(error, match=sentence) as caught:
        model_files(model, revision=revision)
    assert type(caught.value) is error


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("ward/stroke", HubId("ward/stroke")),
        ("ward/stroke@v1.0", HubId("ward/stroke", "", "v1.0")),
        ("ward/stroke/atto/presence@main", HubId("ward/stroke", "atto/presence", "main")),
        ("https://huggingface.co/ward/stroke", HubId("ward/stroke")),
    ],
)
def test_names_of_places(text: str, place: HubId) -> None:
    assert parse(text) == place


@pytest.mark.parametrize("text", ["ward", "ward/", "ward/../etc", "ward/stroke/../../x", "ward/st roke", "ward/s?x=1"])
def test_names_that_are_no_place(text: str) -> None:
    with pytest.raises(ModelNotFoundError, match="not a Hub model"):
        parse(text)


@pytest.mark.parametrize(("text", "revision"), [("a/b@v1", "v2"), ("a/b", "../x"), ("a/b@x y", None)])
def test_revisions_that_are_none(text: str, revision: str | None) -> None:
    with pytest.raises(OptionError, match="revision"):
        parse(text, revision)


# --- downloading -----------------------------------------------------------------------------------------------


def test_a_model_is_downloaded_pinned_and_verified(hub: HubServer, repo: Repo) -> None:
    folder = model_files("ward/stroke", task="presence")
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert revision_of(folder) == repo.refs["main"]
    assert load_model(folder)[1].name == "small-presence"
    downloads = downloaded(hub)
    assert len(downloads) == 3  # each file once
    assert all(f"/resolve/{repo.refs['main']}/" in line for line in downloads)


def test_only_the_three_files_are_taken(hub: HubServer, repo: Repo, files: dict[str, bytes]) -> None:
    repo.commit({**files, "pytorch_model.bin": b"evil", "run.py": b"evil", "big.h5": b"evil"})
    assert sorted(p.name for p in model_files("ward/stroke").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert not [line for line in hub.log if "pytorch_model" in line or "run.py" in line]


def test_a_card_is_welcome_but_not_needed(repo: Repo, files: dict[str, bytes]) -> None:
    repo.commit({name: data for name, data in files.items() if name != "README.md"})
    load_model(model_files("ward/stroke"))


def test_a_second_time_downloads_nothing_and_a_pinned_commit_asks_nothing(hub: HubServer, repo: Repo) -> None:
    first = model_files("ward/stroke")
    hub.log.clear()
    assert model_files("ward/stroke") == first
    assert not downloaded(hub)
    hub.log.clear()
    assert model_files("ward/stroke", revision=repo.refs["main"]) == first
    assert hub.log == []


def test_revisions_branch_tag_commit_and_the_at_sign(repo: Repo, files: dict[str, bytes]) -> None:
    old = repo.refs["main"]
    repo.refs["v1"] = old
    new = repo.commit({**files, "README.md": b"# Second card"})
    assert revision_of(model_files("ward/stroke")) == new
    assert revision_of(model_files("ward/stroke", revision="v1")) == old
    assert revision_of(model_files(f"ward/stroke@{old}")) == old


def test_subfolders_named_or_by_task(hub: HubServer, tmp_path: Path) -> None:
    both = {
        **files_of(model_folder(tmp_path, "presence"), "presence/"),
        **files_of(model_folder(tmp_path, "subtype"), "subtype/"),
    }
    hub.repos["ward/both"] = Repo()
    hub.repos["ward/both"].commit(both)
    assert model_files("ward/both/presence").name == "presence"
    assert load_model(model_files("ward/both", task="subtype"))[1].task == "subtype"
    refused(ModelError, "not a StrokeNeXt model", "ward/both")
    with pytest.raises(ModelMismatchError, match="answers the task 'subtype'"):
        model_files("ward/both/subtype", task="presence")


def test_a_large_file_behind_a_redirect_with_progress(hub: HubServer, tmp_path: Path) -> None:
    save_model(tmp_path / "m", build("custom_cnn"), record(architecture="custom_cnn"), CARD)
    hub.repos["ward/large"] = Repo()
    hub.repos["ward/large"].commit(files_of(tmp_path / "m"))
    size = (tmp_path / "m" / "model.safetensors").stat().st_size
    seen: list[tuple[int, int]] = []
    load_model(model_files("ward/large", progress=lambda done, total: seen.append((done, total))))
    assert size > 1_000_000
    assert seen[-1] == (size, size)


def test_a_private_repository_with_and_without_its_token(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    repo.token = "hf_right"
    refused(ModelNotFoundError, "no model ward/stroke that you may read.*set HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused(ModelNotFoundError, "no model ward/stroke that you may read")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    load_model(model_files("ward/stroke"))


# --- interruptions and no network ------------------------------------------------------------------------------


def test_a_lost_connection_is_resumed_where_it_broke(
    hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)  # 10 MB, more than this file has
    hub.cut_after = [100_000]
    load_model(model_files("ward/stroke"))
    assert any(line.endswith("model.safetensors bytes=100000-") for line in hub.log)


def test_a_download_given_up_leaves_nothing_broken(
    hub: HubServer, repo: Repo, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut_after = [0] * 20
    refused(HubUnavailableError, "cannot be reached")
    assert not list(cache(tmp_path).rglob("*.incomplete"))
    assert not list(cache(tmp_path).rglob("model.safetensors"))
    hub.cut_after = []
    load_model(model_files("ward/stroke"))


def test_an_update_that_fails_keeps_the_complete_commit_in_use(
    hub: HubServer, repo: Repo, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    first = model_files("ward/stroke")
    save_model(tmp_path / "m2", build("small_cnn"), record(threshold=0.6), CARD)
    repo.commit(files_of(tmp_path / "m2"))
    hub.cut_after = [0] * 20
    assert model_files("ward/stroke") == first
    load_model(first)
    hub.cut_after = []
    assert load_model(model_files("ward/stroke"))[1].threshold == 0.6


def test_without_a_network_the_cache_answers(hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model_files("ward/stroke")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    assert model_files("ward/stroke") == first
    refused(HubUnavailableError, "cannot be reached.*not in the cache.*bundled model", "ward/other")


def test_the_offline_switch_asks_nothing(hub: HubServer, repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused(HubUnavailableError, "HF_HUB_OFFLINE is set")
    assert hub.log == []
    monkeypatch.delenv("HF_HUB_OFFLINE")
    first = model_files("ward/stroke")
    hub.log.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert model_files("ward/stroke") == first
    assert hub.log == []


def test_a_hub_in_trouble_is_like_no_network(hub: HubServer, repo: Repo) -> None:
    hub.status = 503
    refused(HubUnavailableError, "cannot be reached")
    hub.status = None
    first = model_files("ward/stroke")
    hub.status = 500
    assert model_files("ward/stroke") == first


# --- what is refused -------------------------------------------------------------------------------------------


def test_repositories_and_revisions_that_are_not_there(hub: HubServer, repo: Repo) -> None:
    refused(ModelNotFoundError, "no model ward/nothing that you may read.*Check the spelling", "ward/nothing")
    refused(ModelNotFoundError, "has no revision 'v9'", revision="v9")
    refused(ModelNotFoundError, "has no revision 'ffff", revision="f" * 40)
    refused(ModelNotFoundError, "not a name the Hub allows", "ward/a--b")
    repo.gated = True
    refused(ModelNotFoundError, "apply for access.*HF_TOKEN")


def test_repositories_with_other_files(repo: Repo, files: dict[str, bytes]) -> None:
    repo.commit({"pytorch_model.bin": b"\x80\x04", "config.json": b"{}"})
    refused(ModelError, "no safetensors.*'pytorch_model.bin' is not accepted")
    repo.commit({"README.md": b"a data set", "data.csv": b"1"})
    refused(ModelError, r"not a StrokeNeXt model: it needs config\.json and model\.safetensors")
    repo.commit({"config.json": b'{"model_type": "bert"}', "model.safetensors": files["model.safetensors"]})
    refused(ModelError, "has format None")


def test_an_oversized_record_is_refused_before_it_is_downloaded(hub: HubServer, repo: Repo) -> None:
    repo.commit({"config.json": b" " * 1_500_000, "model.safetensors": b""})
    refused(ModelError, r"config\.json .* 1500000 bytes; more than 1000000 is refused")
    assert not downloaded(hub)


def test_weights_that_are_not_the_recorded_ones(repo: Repo, files: dict[str, bytes], tmp_path: Path) -> None:
    save_model(tmp_path / "other", build("small_cnn"), record(), CARD)
    other = (tmp_path / "other" / "model.safetensors").read_bytes()
    repo.commit({**files, "model.safetensors": other})
    with pytest.raises(ModelMismatchError, match="checksum differs"):
        load_model(model_files("ward/stroke"))


def test_a_cache_that_cannot_be_written(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/cache/blob")

    monkeypatch.setattr("huggingface_hub.file_download._download_to_tmp_and_move", full)
    refused(ModelError, "cannot be written to the cache.*Free space, or set HF_HOME")


def test_a_fresh_process_honours_the_environment(hub: HubServer, repo: Repo) -> None:
    code = "from strokenext.record.find import resolve, revision_of; print(revision_of(resolve('ward/stroke')[0]))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ.copy()
    )
    assert answer.stdout.strip() == repo.refs["main"]

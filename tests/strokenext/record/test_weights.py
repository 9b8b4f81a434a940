"""Files to a model and back: what is written is what is read, and anything else is refused in a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from strokenext.errors import ModelError, ModelMismatchError, ModelNotFoundError, OptionError, StrokeNeXtError
from strokenext.models import build
from strokenext.preprocess.contract import Preprocess
from strokenext.preprocess.planes import Planes
from strokenext.record.config import ModelConfig, load_config
from strokenext.record.find import bundled, resolve, revision_of
from strokenext.record.weights import load_model, reference_input, save_model
from strokenext.regions import Masks
from tests.helpers.model_folders import CARD, model_folder, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path)


def edit(folder: Path, **changes: Any) -> None:
    """Change entries of config.json; None removes one."""
    path = folder / "config.json"
    entries = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors and give the record their new checksum."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    edit(folder, weights_sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- the reference input ---------------------------------------------------------------------------------------


def test_the_reference_input_is_a_formula() -> None:
    x = reference_input(3, 224)
    assert x.shape == (3, 224, 224)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 1
    # Channel c, row i, column j of n: sin(2 pi (2 i/n + 3 j/n) + c) cos(10 pi i j / n^2 + c/4).
    i, j, c = 50, 100, 2
    expected = np.sin(2 * np.pi * (2 * i + 3 * j) / 224 + c) * np.cos(10 * np.pi * i * j / 224**2 + c / 4)
    assert x[c, i, j] == pytest.approx(expected, abs=1e-6)
    assert reference_input(1, 32, depth=16).shape == (1, 16, 32, 32)


# --- writing and reading ---------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_with_its_record_and_its_answers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = build("small_cnn").train()
    written = save_model(tmp_path / "m", model, record(), CARD, half=False)
    loaded, config = load_model(tmp_path / "m")
    assert config == written == load_config(tmp_path / "m")
    assert files(tmp_path / "m") == ["README.md", "config.json", "model.safetensors"]
    assert (tmp_path / "m" / "README.md").read_text() == CARD
    x = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(loaded(x), model.eval()(x))
        reference = loaded(torch.from_numpy(reference_input(3, 256))[None])[0]
    assert tuple(reference.tolist()) == config.reference_logits
    assert not loaded.training


def test_half_precision_halves_the_file_and_keeps_vectors_exact(tmp_path: Path) -> None:
    model = build("strokenext_atto")
    config = record(architecture="strokenext_atto", preprocess=Preprocess(size=96))
    save_model(tmp_path / "m", model, config, CARD)
    size = (tmp_path / "m" / "model.safetensors").stat().st_size
    assert 7_139_442 * 2 < size < 15_000_000  # two bytes a parameter and the float32 vectors
    stored = load_file(tmp_path / "m" / "model.safetensors")
    scale = "encoder_a.stages.0.blocks.0.gamma"  # LayerScale 1e-6 would lose its digits in float16
    assert torch.equal(stored[scale], model.state_dict()[scale])
    loaded, _ = load_model(tmp_path / "m")
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}


def test_saving_and_loading_leave_the_callers_model_and_random_numbers_alone(tmp_path: Path) -> None:
    model = build("small_cnn").train()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    save_model(tmp_path / "m", model, record(), CARD)
    load_model(tmp_path / "m")
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_several_threads_load_at_once(tmp_path: Path) -> None:
    places = [model_folder(tmp_path, task) for task in ("presence", "subtype")] * 4
    with ThreadPoolExecutor(4) as pool:
        names = [config.name for _, config in pool.map(load_model, places)]
    assert names == ["small-presence", "small-subtype"] * 4


def test_saving_again_replaces_all_three_and_leaves_no_temporary_file(folder: Path) -> None:
    (folder / "curve.png").write_bytes(b"kept")
    torch.manual_seed(2)
    save_model(folder, build("small_cnn"), record(threshold=0.7), "# New card")
    assert load_model(folder)[1].threshold == 0.7
    assert files(folder) == ["README.md", "config.json", "curve.png", "model.safetensors"]


def test_a_full_disk_leaves_the_old_model_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = load_config(folder)

    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if data.startswith(b"{"):  # the record, last of the three
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_model(folder, build("small_cnn"), record(threshold=0.7), CARD)
    monkeypatch.undo()
    assert load_model(folder)[1] == old
    assert files(folder) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("architecture", "options", "outputs"),
    [("unet", {"arguments": {"width": 8}}, 4), ("cnn3d", {"planes": Planes(depth=46)}, 2)],
)
def test_segmentation_and_volume_models_share_the_layout(
    tmp_path: Path, architecture: str, options: dict[str, Any], outputs: int
) -> None:
    if architecture == "unet":
        options = {**options, "task": "segmentation", "masks": Masks((0.5,), (0.0,), ("Edema.",))}
    options["preprocess"] = Preprocess(size=64)
    config = record(architecture=architecture, **options)
    model = build(architecture, classes=len(config.classes), **config.arguments)
    save_model(tmp_path / "m", model, config, CARD)
    assert len(load_model(tmp_path / "m")[1].reference_logits) == outputs


def test_a_model_that_is_not_the_recorded_one_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match="do not fit the architecture"):
        save_model(tmp_path / "m", build("custom_cnn"), record(), CARD)
    assert not (tmp_path / "m").exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = build("small_cnn")
    with torch.no_grad():
        model.classifier[2].bias[0] = float("nan")
    with pytest.raises(OptionError, match=r"classifier\.2\.bias.*not finite"):
        save_model(tmp_path / "m", model, record(), CARD)


# --- what loading refuses --------------------------------------------------------------------------------------


def test_one_changed_byte_of_the_weights_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-7] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelMismatchError, match=r"checksum differs.*download or copy it again"):
        load_model(folder)


def drop(t: dict[str, torch.Tensor]) -> None:
    del t["classifier.4.bias"]


def add(t: dict[str, torch.Tensor]) -> None:
    t["extra"] = torch.zeros(1)


def reshape(t: dict[str, torch.Tensor]) -> None:
    t["classifier.4.bias"] = torch.zeros(3)


def integers(t: dict[str, torch.Tensor]) -> None:
    t["classifier.4.bias"] = torch.zeros(2, dtype=torch.int64)


def poison(t: dict[str, torch.Tensor]) -> None:
    t["classifier.4.bias"] = torch.tensor([float("nan"), 0.0])


def nudge(t: dict[str, torch.Tensor]) -> None:
    t["classifier.4.bias"] = t["classifier.4.bias"] + 0.05


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (drop, r"'classifier\.4\.bias' is missing"),
        (add, "'extra' is not part of the network"),
        (reshape, r"'classifier\.4\.bias' is \(3,\) instead of \(2,\)"),
        (integers, "not stored as floating-point"),
        (poison, "not finite"),
        (nudge, "does not give its recorded reference output"),
    ],
)
def test_tensors_that_differ_from_the_record(folder: Path, change: Callable[..., None], sentence: str) -> None:
    rewrite(folder, change)
    with pytest.raises(ModelMismatchError, match=sentence):
        load_model(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64, b"PK\x03\x04"])
def test_a_file_that_only_has_the_name_of_safetensors(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    edit(folder, weights_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "resnet9000"}, "needs the architecture 'resnet9000'.*Update StrokeNeXt"),
        ({"arguments": {"depth": 3}}, "options that cannot be built.*no option 'depth'"),
        ({"reference_logits": []}, "no reference output"),
    ],
)
def test_records_that_name_something_unknown(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=sentence):
        load_model(folder)


def test_an_enormous_layer_in_the_record_costs_no_memory(tmp_path: Path) -> None:
    config = record(architecture="strokenext_atto", preprocess=Preprocess(size=96))
    save_model(tmp_path / "m", build("strokenext_atto"), config, CARD)
    edit(tmp_path / "m", arguments={"hidden": 10**7})  # would be 12 GB
    with pytest.raises(ModelMismatchError, match="do not fit the architecture"):
        load_model(tmp_path / "m")


BIN = {"low": 0.5, "high": 0.4, "n": 1, "positives": 0, "interval": [0, 1]}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"threshold": None}, "missing entries: threshold"),
        ({"colour": "red"}, "unknown entries: colour"),
        ({"format": 2}, "format 2.*Update StrokeNeXt"),
        ({"threshold": 1.5}, "threshold must lie between 0 and 1"),
        ({"threshold": True}, "threshold must lie"),
        ({"band": [0.6, 0.4]}, "ascending"),
        ({"temperature": 0}, "temperature"),
        ({"classes": ["stroke", "non-stroke"]}, "not those of the task"),
        ({"task": "diagnosis"}, "task must be one of presence, subtype, segmentation"),
        ({"name": "../../etc"}, "letters, digits"),
        ({"arguments": {"pretrained": True}}, "may not ask for a download"),
        ({"reliability": [BIN]}, "reliability bin"),
        ({"preprocess": {"size": 256}}, "preprocessing record"),
        ({"weights_sha256": "abc"}, "64 hexadecimal"),
        ({"reference_logits": ["a"]}, "cannot be used"),
    ],
)
def test_records_with_impossible_entries(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=sentence):
        load_config(folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[1]", "not a record"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"format": NaN}', "not valid JSON"),
        (b'{"metrics": 1e999}', "not valid JSON"),
        (b" " * 1_000_001, "larger than 1000 kB"),
    ],
)
def test_files_that_are_no_record(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        load_config(folder)


def test_a_record_survives_json_unchanged() -> None:
    config = record().with_weights("0" * 64, (1.25, -0.5))
    assert ModelConfig.from_json(config.to_json().encode()) == config


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_record_is_read_or_refused_never_a_crash(data: st.DataObject) -> None:
    text = bytearray(record().with_weights("0" * 64, (1.0, 2.0)).to_json().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelError):  # any other exception fails the test
        ModelConfig.from_json(bytes(text[: data.draw(st.integers(0, len(text)))]))


# --- where a model comes from ----------------------------------------------------------------------------------


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled models: strokenext-atto-presence and -subtype (small CNNs inside), and examples."""
    root = tmp_path / "assets"
    (root / "examples").mkdir(parents=True)
    for task in ("presence", "subtype"):
        model_folder(root, task).rename(root / f"strokenext-atto-{task}")
    monkeypatch.setenv("STROKENEXT_ASSETS", str(root))
    return root


def test_bundled_models_by_default_name_and_short_name(assets: Path) -> None:
    assert [c.task for c in bundled()] == ["presence", "subtype"]
    assert resolve(task="subtype")[0] == assets / "strokenext-atto-subtype"
    assert resolve("strokenext-atto-presence")[0] == assets / "strokenext-atto-presence"
    assert resolve("strokenext_atto", task="presence")[0] == assets / "strokenext-atto-presence"


def test_a_path_to_a_folder_or_to_one_of_its_files(folder: Path) -> None:
    for place in (folder, str(folder), folder / "config.json", folder / "model.safetensors"):
        assert resolve(place, task="presence")[0] == folder


def test_one_folder_may_hold_a_model_per_task(tmp_path: Path) -> None:
    for task in ("presence", "subtype"):
        model_folder(tmp_path, task).rename(tmp_path / task)
    assert resolve(tmp_path, task="subtype")[0] == tmp_path / "subtype"


def test_only_a_folder_of_the_hubs_cache_has_a_revision(folder: Path) -> None:
    assert revision_of(folder) is None
    assert revision_of("/c/models--a--b/snapshots/" + "0a" * 20 + "/sub") == "0a" * 20


def refused(error: type[StrokeNeXtError], sentence: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(error, match=sentence) as caught:
        resolve(*arguments, **options)
    assert type(caught.value) is error


def test_places_that_are_no_model(assets: Path, folder: Path, tmp_path: Path) -> None:
    refused(ModelNotFoundError, "Did you mean strokenext-atto-", "strokenext-ato-presence")
    refused(ModelNotFoundError, "Bundled models: strokenext-atto-presence", "xyz")
    refused(ModelNotFoundError, "No model or folder", "../../no/such/folder")
    refused(ModelNotFoundError, "No model or folder", "/no/such/folder")
    refused(ModelNotFoundError, "No model or folder", "a\0b")
    refused(ModelNotFoundError, "not a Hub model", "owner/..")
    refused(OptionError, "no default model", None, task="segmentation")
    refused(OptionError, "has no revisions", folder, revision="main")
    refused(ModelMismatchError, "answers the task 'presence', not 'subtype'", folder, task="subtype")
    refused(ModelError, "has no config.json", tmp_path)
    (folder / "model.safetensors").unlink()
    refused(ModelError, "has no model.safetensors", folder)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "best.pth", "last.ckpt", "model.pkl"])
def test_pickles_are_refused_unopened_with_the_way_out(tmp_path: Path, name: str) -> None:
    sentence = rf"'{name}' is not accepted.*Only safetensors.*weights_only=True.*save_model"
    refused(ModelError, sentence, name)
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'touch /tmp/strokenext-was-here'\ntR.")
    refused(ModelError, sentence, tmp_path / name)
    refused(ModelError, sentence, tmp_path)


def test_without_any_bundled_model_the_sentence_says_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STROKENEXT_ASSETS", str(tmp_path / "none"))
    assert bundled() == []
    refused(ModelNotFoundError, "No model is bundled in .*none", task="presence")

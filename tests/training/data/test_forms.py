"""Every form a user may bring, from its folders to a batch that a network can be trained on."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.__main__ import main
from training.cache.store import open_cache
from training.data.harmony import harmony, probe, sentences
from training.data.manifest import Manifest, Record, read_manifest
from training.drawing.phantom.files import to_dicom
from training.drawing.phantom.head import Kind, Phantom, head_phantom
from training.splits.split import read_split
from training.systems import make_feed
from training.train.recipe import Recipe

KIND: dict[str, Kind] = {"normal": "normal", "ischemic": "infarct", "hemorrhagic": "hemorrhage"}
EACH = 10  # slices of a class
SIDE = 128


@lru_cache(maxsize=8)
def base(kind: Kind) -> Phantom:
    return head_phantom(kind, size=SIDE, seed=3, noise=False)


def head(label: str, number: int) -> Phantom:
    """A head of its own: other size, place, turn and grain for each number, and a pattern that is its anatomy."""
    phantom, rng = base(KIND[label]), np.random.default_rng((number, len(label)))
    turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-8, 8), rng.uniform(0.8, 1.0))
    hu = cv2.warpAffine(phantom.hu, turn, (SIDE, SIDE), borderValue=-1000)
    anatomy = cv2.resize(rng.normal(0, 9, (7, 7)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    hu = np.where((hu > 5) & (hu < 75), hu + anatomy, hu) + rng.normal(0, 2, hu.shape)
    return replace(phantom, hu=hu.astype(np.float32))


def picture(label: str, number: int) -> np.ndarray:
    return np.rint(np.clip(head(label, number).hu / 80, 0, 1) * 255).astype(np.uint8)


def png(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(file.suffix, pixels)[1].tofile(file)


def dicom(file: Path, label: str, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(to_dicom(head(label, number), f"{label}{number}"))


def numbered(label: str) -> Iterator[tuple[str, np.ndarray]]:
    """TEKNOFEST's numeric names without patient; the last is the first again, cropped and a little brighter."""
    start = {"normal": 10002, "ischemic": 12002, "hemorrhagic": 14002}[label]
    for i in range(EACH):
        yield str(start + i), picture(label, i)
    again = picture(label, 0)[4:-4, 6:-6]
    yield str(start + 900), np.clip(again * 1.02, 0, 255).astype(np.uint8)


def ministry(root: Path, form: str) -> None:
    """The ministry's archives, unpacked twice under their own name, in composed or decomposed Unicode."""

    def folder(name: str) -> Path:
        name = unicodedata.normalize(form, name)
        return root / name / name

    for label, name in (("hemorrhagic", "Kanama Veri Seti"), ("ischemic", "İskemi Veri Seti")):
        for i, (number, pixels) in enumerate(numbered(label)):
            png(folder(name) / "PNG" / f"{number}.png", pixels)
            png(folder(name) / "OVERLAY" / f"{number}.png", 255 - pixels)
            if i < 2:
                dicom(folder(name) / "DICOM" / f"{number}.dcm", label, i)
    for i, (number, pixels) in enumerate(numbered("normal")):
        name = "İnme Yok Veri Set_PNG" if i % 2 else "İnme Yok_kronik süreç_diğer Veri Set_PNG"
        png(folder(name) / f"{number}.png", pixels)


def brain_stroke_ct(root: Path) -> None:
    """The form with an external test and its label table."""
    top = root / "Brain_Stroke_CT_Dataset"
    for label, name in (("hemorrhagic", "Bleeding"), ("ischemic", "Ischemia"), ("normal", "Normal")):
        for number, pixels in numbered(label):
            png(top / name / "PNG" / f"{number}.png", pixels)
            if label != "normal":
                png(top / name / "OVERLAY" / f"{number}.png", 255 - pixels)
    for i in range(3):
        png(top / "External_Test" / "PNG" / f"{20000 + i}.png", picture("ischemic", 500 + i))
    rows = "".join(f"{20000 + i}.png,Ischemia\n" for i in range(3))
    (top / "External_Test" / "labels.csv").write_text("image,label\n" + rows, encoding="utf-8")


def overlay_beside(root: Path) -> None:
    for label, name in (("hemorrhagic", "Hemorrhagic Stroke"), ("ischemic", "Ischemic Stroke"), ("normal", "Normal")):
        for number, pixels in numbered(label):
            png(root / name / f"{number}.png", pixels)
            if label != "normal":
                png(root / f"{name} Overlay" / f"{number}.png", 255 - pixels)


def three_folders(root: Path) -> None:
    for label, name in (("hemorrhagic", "kanama"), ("ischemic", "iskemi"), ("normal", "inme_yok")):
        for number, pixels in numbered(label):
            png(root / name / f"{number}.jpg", pixels)


def kaggle(root: Path) -> None:
    """Normal/Stroke with patients in the file names."""
    for label, name in (("hemorrhagic", "Stroke"), ("normal", "Normal")):
        for i in range(EACH + 1):
            patient = (58 if name == "Stroke" else 90) + i // 2
            png(root / "Brain_Data_Organised" / name / f"{patient} ({i % 2 + 1}).jpg", picture(label, i))


def parts(root: Path) -> None:
    """train/validation/test with class folders, grey and colour JPG."""
    for k, part in enumerate(("train", "validation", "test")):
        for label in ("ischemic", "hemorrhagic"):
            for i in range(4):
                pixels = picture(label, 10 * k + i)
                colour = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if i % 2 else pixels
                png(root / part / label / f"{i}.jpg", colour)


def own_table(root: Path) -> None:
    rows = []
    for label in KIND:
        for i in range(EACH):
            png(root / "images" / f"{label}_{i}.png", picture(label, i))
            rows.append(f"images/{label}_{i}.png,{label},p{label}{i // 2}\n")
    (root / "slices.csv").write_text("image,label,patient\n" + "".join(rows), encoding="utf-8")


def dicom_tree(root: Path) -> None:
    """Patients' folders of DICOM with a table of their labels; one file is missing from it."""
    rows = []
    for label in KIND:
        for p in range(4):
            for i in range(2):
                dicom(root / "scans" / f"{label}{p}" / f"IM{i}", label, 2 * p + i)
            rows.append(f"{label}{p},{label}\n")
    dicom(root / "scans" / "unknown" / "IM0", "normal", 77)
    (root / "labels.csv").write_text("folder,label\n" + "".join(rows), encoding="utf-8")


Form = tuple[Callable[[Path], None], dict[str, int], tuple[str, ...]]
BOTH, ALIKE = ("presence", "subtype"), {"normal": 11, "ischemic": 11, "hemorrhagic": 11}
#: How to build it, what must be counted, and the tasks that have both classes.
FORMS: dict[str, Form] = {
    "ministry-nfc": (lambda r: ministry(r, "NFC"), ALIKE, BOTH),
    "ministry-nfd": (lambda r: ministry(r, "NFD"), ALIKE, BOTH),
    "brain-stroke-ct": (brain_stroke_ct, ALIKE | {"ischemic": 14, "evaluation only": 3}, BOTH),
    "overlay-beside": (overlay_beside, ALIKE, BOTH),
    "three-folders": (three_folders, ALIKE, BOTH),
    "kaggle": (kaggle, {"normal": 11, "stroke, kind unknown": 11, "patients": 12}, ("presence",)),
    "parts": (parts, {"ischemic": 12, "hemorrhagic": 12}, ("subtype",)),
    "slices.csv": (own_table, {"normal": 10, "ischemic": 10, "hemorrhagic": 10, "patients": 15}, BOTH),
    "dicom-tree": (dicom_tree, {"normal": 8, "ischemic": 8, "hemorrhagic": 8, "patients": 12}, BOTH),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_from_folders_to_a_batch(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, counted, tasks = FORMS[form]
    raw, out = tmp_path / "raw", tmp_path / "out"
    make(raw)
    tree, labels = (raw / "scans", ["--labels", f"t={raw / 'labels.csv'}"]) if form == "dicom-tree" else (raw, [])
    assert main(["prepare", "--source", f"t={tree}", *labels, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "t: the brain's median grey level is" in said
    manifest = read_manifest(out / "manifest.jsonl")
    counts = manifest.about["counts"]["t"]
    assert {k: counts[k] for k in counted} == counted
    assert {f.name for f in out.iterdir()} >= {"counts.md", "left_out.csv", "contact_t.png", "manifest.csv"}
    if not counts["patients"]:  # the planted second of each class went with its first
        assert counts["groups"] <= counts["images"] - (0 if form == "parts" else 3)
    assert main(["cache", str(out / "manifest.jsonl"), str(out / "cache"), "--size", "96"]) == 0
    cache = open_cache(out / "cache")
    for task in tasks:
        split = out / f"{task}.json"
        command = ["split", "--manifest", str(out / "manifest.jsonl"), "--task", task, "--out", str(split)]
        assert main([*command, "--protocol", "grouped", "--fractions", "0.6,0.2,0.2"]) == 0
        assert main(["audit", "--manifest", str(out / "manifest.jsonl"), str(split)]) == 0
        pytest.importorskip("training.classify", reason="the feed of slices belongs to the slice classifier")
        feed = make_feed(Recipe(form, task=task, size=64, batch=4), cache, read_split(split), "cpu")
        batch = next(feed.batches(0, 1))
        assert batch.pixels.shape == (4, 3, 64, 64)
        assert set(Counter(feed.held_out("validation").labels.tolist())) == {0, 1}
        assert len(feed.held_out("test"))
        assert feed.images + len(feed.held_out("validation")) + len(feed.held_out("test")) == sum(
            r.label(task) is not None and not r.evaluation_only for r in manifest
        )
    if form == "parts":
        assert (
            main(
                [
                    "split",
                    "--manifest",
                    str(out / "manifest.jsonl"),
                    "--task",
                    "subtype",
                    "--protocol",
                    "published",
                    "--out",
                    str(out / "p.json"),
                ]
            )
            == 0
        )
        assert [len(p) for p in read_split(out / "p.json").parts.values()] == [8, 8, 8]


def test_overlays_are_never_images_and_copies_stay_together(tmp_path: Path) -> None:
    ministry(tmp_path / "raw", "NFD")
    main(["prepare", "--source", f"teknofest={tmp_path / 'raw'}", "--out", str(tmp_path), "--no-sheets"])
    manifest = read_manifest(tmp_path / "manifest.jsonl")
    assert not any("OVERLAY" in r.path or r.path.endswith(".dcm") for r in manifest)
    bleeds = {Path(r.path).stem: r for r in manifest if r.subtype == 1}
    assert bleeds["14002"].extra["dicom"].endswith("DICOM/14002.dcm")
    assert bleeds["14002"].extra["overlay"].endswith("OVERLAY/14002.png")
    assert bleeds["14002"].group == bleeds["14902"].group != bleeds["14003"].group
    assert all(r.patient is None for r in manifest)


def test_levels_are_brought_together_and_the_probe_says_how_well(tmp_path: Path) -> None:
    """Source b came through a window twice as wide: half as bright until it is levelled."""
    records = []
    for source in "ab":
        for i in range(24):
            pixels = picture("normal", 100 * (source == "b") + i)
            png(tmp_path / source / f"{i}.png", (pixels // 2 if source == "b" else pixels).astype(np.uint8))
            records.append(Record(f"{source}/{i}.png", source, 0, None, None, f"{source}/{i}"))
    found = json.loads(json.dumps(harmony(Manifest(tmp_path, tuple(records)))))
    levels = found["sources"]
    assert levels["b"]["brain_before"] == pytest.approx(levels["a"]["brain_before"] / 2, abs=0.03)
    assert levels["b"]["brain_after"] == pytest.approx(levels["a"]["brain_after"], abs=0.02)
    told = found["source_from_picture"]
    assert told["chance"] == 0.5
    assert told["before"] == 1.0
    assert len(sentences(found)) == 3


def test_a_probe_of_noise_is_at_chance() -> None:
    rng = np.random.default_rng(0)
    names, groups = np.array(["a", "b"] * 200), np.array([str(i // 4) for i in range(400)])
    assert probe(rng.normal(size=(400, 5)), names, groups) == pytest.approx(0.5, abs=0.08)
    shifted = rng.normal(size=(400, 5)) + 8 * (names == "b")[:, None]
    assert probe(shifted, names, groups) == 1.0

"""Small trees of every form that head CT sets come in, read to the records they must give."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from strokenext.errors import DataError
from strokenext.types import Slice
from tests.helpers.places import SHARED
from training.__main__ import main
from training.data import duplicates
from training.data import manifest as records
from training.data.forms import read
from training.data.labels import class_of, words


def picture(seed: int, side: int = 192) -> np.ndarray:
    """A head-like ellipse with its own inner structure, uint8."""
    rng = np.random.default_rng(seed)
    texture = cv2.resize(rng.uniform(40, 200, (6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (side // 2, side // 2), (side // 3, int(side * 0.42)), 0, 0, 360, 1, -1)
    return np.clip(texture * mask, 0, 255).astype(np.uint8)


def save(file: Path, seed: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(file.suffix if file.suffix in (".png", ".jpg") else ".png", picture(seed))[1].tofile(file)
    return file


def labels_of(root: Path) -> dict[str, tuple[int | None, int | None]]:
    return {f.file.relative_to(root).as_posix(): (f.presence, f.subtype) for f in read("t", root).images}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_teknofest_ministry_archives_with_turkish_names(tmp_path: Path, form: str) -> None:
    def folder(name: str) -> str:
        return unicodedata.normalize(form, name)

    twice = f"{folder('Kanama Veri Seti')}/{folder('Kanama Veri Seti')}"
    for kind, suffix in (("PNG", ".png"), ("OVERLAY", ".png"), ("DICOM", ".dcm")):
        save(tmp_path / twice / kind / f"10002{suffix}", 1)
        save(tmp_path / folder("İskemi Veri Seti") / kind / f"10010{suffix}", 2)
    save(tmp_path / folder("İnme Yok Veri Set_PNG") / "10020.png", 3)
    save(tmp_path / folder("İnme Yok_kronik süreç_diğer Veri Set_PNG") / "10020.png", 4)
    found = read("teknofest", tmp_path).images
    assert Counter((f.presence, f.subtype) for f in found) == {(1, 1): 1, (1, 0): 1, (0, None): 2}
    bleed = next(f for f in found if f.subtype == 1)
    assert bleed.file.parent.name == "PNG"
    assert bleed.extra["overlay"] == f"{twice}/OVERLAY/10002.png"
    assert bleed.extra["dicom"] == f"{twice}/DICOM/10002.dcm"
    assert all(f.patient is None for f in found)


def test_brain_stroke_ct_dataset_with_external_test(tmp_path: Path) -> None:
    root = tmp_path / "Brain_Stroke_CT_Dataset"
    for i, name in enumerate(("Bleeding", "Ischemia", "Normal")):
        save(root / name / "PNG" / f"{i}.png", i)
        save(root / name / "OVERLAY" / f"{i}.png", i)
    save(root / "External_Test" / "PNG" / "900.png", 9)
    save(root / "External_Test" / "MASKS" / "900.png", 9)
    (root / "External_Test" / "labels.csv").write_text("image,label\n900.png,Ischemia\n", encoding="utf-8")
    for start in (root, tmp_path):  # given the set itself, or the folder around it whose name says "Stroke"
        found = {f.file.name: f for f in read("t", start).images}
        assert {n: (f.presence, f.subtype) for n, f in found.items()} == {
            "0.png": (1, 1),
            "1.png": (1, 0),
            "2.png": (0, None),
            "900.png": (1, 0),
        }
        assert found["900.png"].evaluation_only
        assert not found["0.png"].evaluation_only
        assert found["900.png"].extra["mask"].endswith("MASKS/900.png")


def test_folders_with_overlay_beside_them_and_plain_three_classes(tmp_path: Path) -> None:
    save(tmp_path / "a" / "Ischemic Stroke" / "1.png", 1)
    save(tmp_path / "a" / "Ischemic Stroke Overlay" / "1.png", 1)
    save(tmp_path / "a" / "Hemorrhagic Stroke" / "1.png", 2)
    save(tmp_path / "a" / "Normal" / "1.png", 3)
    assert labels_of(tmp_path / "a") == {
        "Ischemic Stroke/1.png": (1, 0),
        "Hemorrhagic Stroke/1.png": (1, 1),
        "Normal/1.png": (0, None),
    }
    for i, name in enumerate(("kanama", "iskemi", "inme_yok")):
        save(tmp_path / "b" / name / f"{i}.JPG", i)
    assert Counter(labels_of(tmp_path / "b").values()) == {(1, 1): 1, (1, 0): 1, (0, None): 1}


def test_kaggle_names_carry_the_patient(tmp_path: Path) -> None:
    for patient, name in ((49, "Normal"), (58, "Stroke")):
        for i in (1, 2):
            save(tmp_path / "Brain_Data_Organised" / name / f"{patient} ({i}).jpg", patient * 10 + i)
    found = read("kaggle", tmp_path).images
    assert {f.patient for f in found} == {"kaggle/49", "kaggle/58"}
    assert {(f.presence, f.subtype) for f in found} == {(0, None), (1, None)}


def test_train_validation_test_class_folders(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "validation", "test")):
        save(tmp_path / part / "hemorrhagic" / "x.jpg", 2 * i)
        save(tmp_path / part / "ischemic" / "x.jpg", 2 * i + 1)
    found = read("cnn", tmp_path).images
    assert Counter((f.extra["part"], f.subtype) for f in found) == {
        (part, s): 1 for part in ("train", "validation", "test") for s in (0, 1)
    }


def scans(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def tabled(root: Path, table: str) -> dict[str, tuple[object, ...]]:
    """Path to (presence, subtype, patient) under a table in CSV."""
    file = root.parent / "labels.csv"
    file.write_text(table, encoding="utf-8")
    return {
        f.file.relative_to(root).as_posix(): (f.presence, f.subtype, f.patient) for f in read("x", root, file).images
    }


def test_a_patients_label_is_not_that_of_a_slice_of_the_same_number(tmp_path: Path) -> None:
    names = [f"{p}/{s}.dcm" for p in (1, 2, 3) for s in (1, 2, 3)]
    root = scans(tmp_path / "scans", *names)
    found = tabled(root, "patient,label\n1,normal\n2,normal\n3,hemorrhagic\n")
    assert {path: v[0] for path, v in found.items()} == {
        f"{p}/{s}.dcm": int(p == 3) for p in (1, 2, 3) for s in (1, 2, 3)
    }
    assert {v[2] for path, v in found.items() if path.startswith("3/")} == {"x/3"}


def test_a_file_name_that_every_patient_has_is_looked_up_with_its_patient(tmp_path: Path) -> None:
    root = scans(tmp_path / "scans", "A/1.dcm", "B/1.dcm", "C/1.dcm")
    found = tabled(root, "patient,filename,label\nA,1.dcm,normal\nB,1.dcm,ischemic\n")
    assert found == {"A/1.dcm": (0, None, "x/A"), "B/1.dcm": (1, 0, "x/B")}


@pytest.mark.parametrize("table", ["file,label\n1.dcm,normal\n", "file,label\nA/1.dcm,normal\nA/1.dcm,stroke\n"])
def test_a_table_that_could_mean_several_files_is_refused(tmp_path: Path, table: str) -> None:
    with pytest.raises(DataError, match="does not say which file it means"):
        tabled(scans(tmp_path / "scans", "A/1.dcm", "B/1.dcm"), table)


def test_a_numeric_subtype_is_the_kind_of_stroke_and_an_empty_one_leaves_it_to_presence(tmp_path: Path) -> None:
    root = scans(tmp_path / "scans", *(f"{n}.dcm" for n in "abcd"))
    found = tabled(root, "path,presence,subtype\na.dcm,1,0\nb.dcm,1,1\nc.dcm,0,\nd.dcm,0,0\n")
    assert {path: v[:2] for path, v in found.items()} == {
        "a.dcm": (1, 0),
        "b.dcm": (1, 1),
        "c.dcm": (0, None),
        "d.dcm": (0, None),
    }


def test_tree_with_a_label_table(tmp_path: Path) -> None:
    for i, name in enumerate(("P1/a/1.dcm", "P1/a/2.dcm", "P2/3.dcm", "P3/4.dcm")):
        save(tmp_path / "scans" / name, i)
    table = tmp_path / "labels.csv"
    table.write_text("name,label\nP1,hemorrhage\nP2/3.dcm,normal\nP1/a/2.dcm,0\n", encoding="utf-8")
    reading = read("d", tmp_path / "scans", table)
    assert {f.file.name: (f.presence, f.patient) for f in reading.images} == {
        "1.dcm": (1, "d/P1"),
        "2.dcm": (0, "d/P1"),
        "3.dcm": (0, "d/P2"),
    }
    assert [(o.file, str(o)) for o in reading.left_out] == [("P3/4.dcm", "no row of the label table names it")]


def test_slices_csv_rules_of_each_caveat(tmp_path: Path) -> None:
    ct, phe = tmp_path / "ct", tmp_path / "phe"
    for folder in (ct, phe):
        for i in range(4):
            save(folder / "images" / f"{i}.png", i)
    (ct / "slices.csv").write_text(
        "image,patient,slice,patient_label,hemorrhage,types,fracture,label_trust\n"
        "images/0.png,050,1,stroke,0,,0,mapped\nimages/1.png,050,2,normal,1,epidural,0,mapped\n"
        "images/2.png,049,1,normal,0,,0,doubtful\n",
        encoding="utf-8",
    )
    found = read("ct_ich", ct)
    assert [(f.presence, f.subtype, f.patient) for f in found.images] == [(0, None, "ct_ich/050"), (1, 1, "ct_ich/050")]
    assert [(o.file, str(o)) for o in found.left_out] == [("images/2.png", "the patient's slice labels are doubtful")]
    (phe / "slices.csv").write_text(
        "image,patient,slice,edema_mask,edema_pixels,near_blank,duplicate_of\n"
        "images/0.png,0001,0,masks/0.png,50,0,\nimages/1.png,0001,1,,0,0,\n"
        "images/2.png,0001,2,,0,1,\nimages/3.png,0001,3,,0,0,0.png\n",
        encoding="utf-8",
    )
    read_phe = read("phe", phe)
    assert [(f.presence, f.subtype) for f in read_phe.images] == [(1, 1), (None, None)]
    assert [f.extra["away"] for f in read_phe.images] == [0, 1]  # slices to the annotated one
    assert read_phe.images[0].extra["mask_of"] == "perihematomal edema"
    assert [str(o) for o in read_phe.left_out] == ["near blank", "exact repeat of 0.png"]


def test_words_and_classes() -> None:
    text = "İnme Yok_kronik süreç_diğer Veri Set_PNG"
    assert words(text) == ["inme", "yok", "kronik", "surec", "diger", "veri", "set", "png"]
    assert class_of("Brain_Stroke_CT_Dataset") is None
    assert class_of("No_Stroke") == class_of("NonStroke") == class_of("İNME YOK") == "normal"
    assert class_of("Stroke") == class_of("İnme Var") == "stroke"
    assert class_of("patient 7") is None


def test_prepare_keeps_one_copy_groups_near_copies_and_survives_a_bad_file(tmp_path: Path) -> None:
    root = tmp_path / "set"
    first = save(root / "Normal" / "1.png", 1)
    (root / "Normal" / "again.png").write_bytes(first.read_bytes())
    small = cv2.resize(picture(1), (80, 80), interpolation=cv2.INTER_AREA)
    cv2.imencode(".jpg", small)[1].tofile(root / "Normal" / "smaller.jpg")
    save(root / "Stroke" / "2.png", 2)
    same = save(root / "Stroke" / "3.png", 3)
    (root / "Normal" / "contradicts.png").write_bytes(same.read_bytes())
    (root / "Stroke" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    out = tmp_path / "out"
    assert main(["prepare", "--source", f"set={root}", "--out", str(out)]) == 0
    manifest = records.read_manifest(out / "manifest.jsonl")
    by_name = {Path(r.path).name: r for r in manifest}
    assert set(by_name) == {"1.png", "smaller.jpg", "2.png"}
    assert by_name["1.png"].group == by_name["smaller.jpg"].group != by_name["2.png"].group
    assert manifest.file(by_name["1.png"]) == first.resolve()
    assert by_name["1.png"].size == (192, 192)
    left = (out / "left_out.csv").read_text(encoding="utf-8")
    assert "exact copy of 1.png" in left
    assert left.count("contradicting labels") == 2
    assert "broken.png" in left
    assert (out / "contact_set.png").stat().st_size > 1000


def test_manifest_round_trip_and_truncation(tmp_path: Path) -> None:
    record = records.Record("a.png", "s", 1, 0, None, "g", "f" * 64, "0" * 16, (4, 5), True, {"slice": 3})
    file = records.write_manifest(records.Manifest(tmp_path, (record,)), tmp_path / "deep" / "m.jsonl")
    back = records.read_manifest(file)
    assert back.records == (record,)
    assert back.root == tmp_path.resolve()
    file.write_text(file.read_text(encoding="utf-8").splitlines()[0], encoding="utf-8")
    with pytest.raises(DataError, match="should hold 1 records and holds 0"):
        records.read_manifest(file)
    with pytest.raises(DataError, match="must be 0, 1 or unknown"):
        records.Record("a", "s", presence=2)


def test_a_folder_without_classes_is_refused_with_the_remedy(tmp_path: Path) -> None:
    save(tmp_path / "holiday" / "1.png", 1)
    with pytest.raises(DataError, match="class folders such as Normal and Stroke"):
        read("x", tmp_path)


def test_unknown_stage_and_error_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["dance"]) == 64
    assert main(["audit", "--manifest", str(tmp_path / "none"), "x.json"]) == DataError.exit_code
    assert "There is no manifest" in capsys.readouterr().err


def test_near_duplicates_find_copies_and_keep_others_apart() -> None:
    def prints(*images: np.ndarray) -> list[duplicates.Fingerprint]:
        return [duplicates.fingerprint(Slice(i.astype(np.float32), "grey")) for i in images]

    one, other = picture(1, 256), picture(2, 256)
    padded = np.pad(cv2.resize(one, (120, 120), interpolation=cv2.INTER_AREA), ((5, 40), (30, 10)))
    blank = np.zeros((64, 64), np.uint8)
    assert duplicates.near_pairs(prints(one, other, padded, blank, blank)) == [(0, 2)]
    assert duplicates.connect("abcd", [("a", "c"), ("c", "d")]) == {"a": "a", "b": "b", "c": "a", "d": "a"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the reference data ../shared/data is not here")
def test_reference_data_counts() -> None:
    ct = read("ct_ich", SHARED / "ct_ich")
    assert len(ct.images) == 2501 - 66
    assert {f.patient for f in ct.images}.isdisjoint({"ct_ich/049", "ct_ich/053"})
    lesions = read("lesion_masks", SHARED / "lesion_masks").images
    assert Counter(f.source for f in lesions) == {"aisd": 36, "mbh": 72}
    assert all(f.evaluation_only for f in lesions)
    assert sum(f.patient == "aisd/unnamed" for f in lesions) == 24
    phe = read("phe_sich", SHARED / "phe_sich").images
    assert Counter(f.presence for f in phe) == {1: 676, None: 3478 - 676 - 38}

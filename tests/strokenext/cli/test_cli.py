"""The command line: what it finds, what it writes, how it ends. Models with random weights, no network."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from strokenext import cli
from strokenext.cli import inputs, tables
from strokenext.cli.exits import exit_code, signals_interrupt
from strokenext.cli.predict import sentence
from strokenext.errors import DamagedFileError, NotFoundError, OutputError
from tests.helpers.places import ROOT
from tests.helpers.reading import stands_on

EXAMPLES = ROOT / "assets" / "examples"
DICOM = EXAMPLES / "hemorrhage.dcm"
PATIENCE = 300  # seconds; a wall clock tells little on a machine that does other work too
pytestmark = pytest.mark.usefixtures("tiny_assets")


@pytest.fixture
def pictures(tmp_path):
    """A folder with two pictures, a note, a hidden file, and a series of three DICOM files below it."""
    folder = tmp_path / "in"
    (folder / "series").mkdir(parents=True)
    for name in ("slice10.png", "slice2.png"):
        (folder / name).write_bytes((EXAMPLES / "hemorrhage.png").read_bytes())
    (folder / "notes.txt").write_text("not an image")
    (folder / ".hidden.png").write_bytes(b"x")
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        for name in sorted(archive.namelist())[:3]:
            (folder / "series" / Path(name).name).write_bytes(archive.read(name))
    return folder


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


class TestInputs:
    def test_a_folder_and_the_folder_below_it_are_each_an_input_with_all_their_files(self, pictures):
        items, failures = inputs.find([str(pictures)])
        assert [item.name for item in items] == ["in", "series"]
        assert [file.name for file in items[0].files] == ["notes.txt", "slice2.png", "slice10.png"]
        assert len(items[1].files) == 3
        assert failures == []

    def test_pattern_and_file_name_the_same_picture_once(self, pictures):
        items, _ = inputs.find([str(pictures / "*.png"), str(pictures / "slice2.png")])
        assert [item.name for item in items] == ["slice2.png", "slice10.png"]

    def test_a_name_with_brackets_is_a_name_when_it_exists(self, tmp_path):
        (tmp_path / "a[1].png").write_bytes(b"x")
        items, failures = inputs.find([str(tmp_path / "a[1].png")])
        assert [item.name for item in items] == ["a[1].png"]
        assert not failures

    @pytest.mark.parametrize(
        ("argument", "words"),
        [("none.png", "no such file"), ("*.nothing", "No file matches"), ("empty", "no CT image")],
    )
    def test_an_argument_that_means_nothing_is_reported(self, tmp_path, argument, words):
        (tmp_path / "empty").mkdir()
        items, failures = inputs.find([str(tmp_path / argument)])
        assert items == []
        assert words in str(failures[0].error)
        assert exit_code([], failures) == 3

    def test_its_own_overlays_are_not_read_again(self, tmp_path):
        (tmp_path / f"a.png{inputs.OVERLAY_SUFFIX}").write_bytes((EXAMPLES / "hemorrhage.png").read_bytes())
        assert inputs.find([str(tmp_path)])[0] == []


class TestTables:
    @pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx"])
    def test_a_file_name_is_never_a_formula(self, name):
        table = tables.to_csv([], [inputs.Failure(name, DamagedFileError("=HYPERLINK()"))])
        row = next(csv.DictReader(io.StringIO(table)))
        assert row["path"] == "'" + name.replace("\t", "\\t")  # control characters are escaped as well
        assert row["error"] == "'=HYPERLINK()"

    def test_a_negative_logit_stays_a_number(self):
        outcome = tables.Outcome("a.png", "slice", {"task": "presence", "logit": -1.5, "gate": {"accepted": True}})
        assert next(csv.DictReader(io.StringIO(tables.to_csv([outcome], []))))["logit"] == "-1.5"

    def test_a_failed_write_leaves_the_old_file_and_no_other(self, tmp_path, monkeypatch):
        target = tmp_path / "out.json"
        target.write_text("old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tables.os, "replace", full)
        with pytest.raises(OutputError, match="No space left"):
            tables.write(str(target), "new")
        assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("out.json", "old")]

    def test_a_name_that_is_no_text_is_written_escaped(self, tmp_path):
        tables.write(
            str(tmp_path / "out.csv"), tables.to_csv([], [inputs.Failure("a\udcff.png", DamagedFileError("x"))])
        )
        assert b"a\\udcff.png" in (tmp_path / "out.csv").read_bytes()


def test_exit_codes():
    done = [tables.Outcome("a", "slice", {})]
    bad, gone = inputs.Failure("b", DamagedFileError("x")), inputs.Failure("c", NotFoundError("x"))
    assert exit_code(done, []) == 0
    assert exit_code(done, [bad]) == 1
    assert exit_code([], [bad]) == 2
    assert exit_code([], [gone]) == 3
    assert exit_code([], [bad, gone]) == 2


def test_the_line_for_a_person_never_diagnoses():
    numbers = {"task": "presence", "probability": 0.2, "threshold": 0.5, "gate": {"reason": ""}}
    assert sentence(numbers | {"decision": "non-stroke"}) == "non-stroke (probability of stroke 0.200, threshold 0.500)"
    refused = {"task": "presence", "probability": None, "decision": "refused", "gate": {"reason": "An MR image."}}
    assert sentence(refused) == "not judged: An MR image."


class TestPredict:
    def test_goes_on_past_a_bad_file_and_says_so(self, pictures, tmp_path, capsys):
        (pictures / "broken.png").write_bytes((EXAMPLES / "hemorrhage.png").read_bytes()[:2000])
        code = run("predict", pictures, "--json", tmp_path / "o.json", "--csv", tmp_path / "o.csv", "--force")
        document = json.loads((tmp_path / "o.json").read_text())
        assert code == 1
        assert [Path(r["path"]).name for r in document["results"]] == ["slice2.png", "slice10.png", "series"]
        assert [Path(e["path"]).name for e in document["errors"]] == ["broken.png"]
        assert document["schema"] == tables.SCHEMA
        assert "broken.png: " in capsys.readouterr().err
        rows = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text())))
        assert [row["kind"] for row in rows] == ["slice", "slice", "series", "slice", "slice", "slice", "left out", ""]
        assert [row["slice"] for row in rows[3:6]] == ["0", "1", "2"]
        assert all(0 <= float(row["probability"]) <= 1 for row in rows[:2])

    def test_every_example_has_an_answer_and_every_file_is_accounted_for(self, tmp_path, capsys):
        code = run("predict", EXAMPLES, "--json", tmp_path / "o.json", "--csv", tmp_path / "o.csv", "--no-explain")
        document = json.loads((tmp_path / "o.json").read_text())
        rows = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text())))
        printed = capsys.readouterr()
        assert code == 0
        answered = {Path(r["path"]).name for r in document["results"]}
        left = {Path(r["path"]).name for r in document["left_out"]}
        assert answered == {p.name for p in EXAMPLES.iterdir() if p.suffix in (".dcm", ".png", ".zip")}
        assert answered | left == {p.name for p in EXAMPLES.iterdir()}
        assert {Path(row["path"]).name for row in rows if row["kind"] == "left out"} == left
        assert all(name in printed.out for name in answered)
        assert all(name in printed.err for name in left)

    def test_patients_of_one_folder_each_have_an_answer(self, tmp_path):
        import pydicom

        flat = tmp_path / "flat"
        flat.mkdir()
        for number in range(3):
            ds = pydicom.dcmread(DICOM)
            ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = str(number), f"1.2.{number}", f"1.3.{number}"
            ds.save_as(flat / f"{number}.dcm")
        (flat / "cut.dcm").write_bytes(DICOM.read_bytes()[:3000])
        code = run("predict", flat, "--json", tmp_path / "o.json", "--no-explain")
        document = json.loads((tmp_path / "o.json").read_text())
        assert code == 1  # the cut file is an image that could not be used
        assert [r["study"] for r in document["results"]] == [1, 2, 3]
        assert [r["files"] for r in document["results"]] == [["0.dcm"], ["1.dcm"], ["2.dcm"]]
        assert [Path(e["path"]).name for e in document["errors"]] == ["cut.dcm"]
        assert not any(c["code"] == "several-studies" for r in document["results"] for c in r["prediction"]["cautions"])

    def test_two_kernels_of_one_series_each_have_an_answer_with_their_files(self, tmp_path):
        import pydicom

        folder = tmp_path / "kernels"
        folder.mkdir()
        with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
            for name in sorted(archive.namelist())[:3]:
                for kernel in ("H30s", "H60s"):
                    ds = pydicom.dcmread(io.BytesIO(archive.read(name)))
                    ds.ConvolutionKernel, ds.RescaleIntercept = kernel, -1024 - (kernel == "H60s")
                    ds.save_as(folder / f"{kernel}-{Path(name).name}")
        run("predict", folder, "--csv", tmp_path / "o.csv", "--no-explain", "--force")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text())))
        files = {s: [r["file"] for r in rows if r["series"] == s and r["kind"] == "slice"] for s in ("1", "2")}
        assert {name[:4] for name in files["1"]} == {"H30s"}
        assert {name[:4] for name in files["2"]} == {"H60s"}
        assert len(files["1"]) == len(files["2"]) == 3

    def test_a_name_as_long_as_a_file_system_allows(self, tmp_path):
        long = tmp_path / f"{'n' * 245}.dcm"
        long.write_bytes(DICOM.read_bytes())
        assert run("predict", long, "--overlays", tmp_path / "maps", "--force") == 0
        (made,) = (tmp_path / "maps").iterdir()
        assert made.name.startswith("n" * 200)
        assert made.name.endswith(inputs.OVERLAY_SUFFIX)

    def test_one_prediction_has_the_promised_keys(self, capsys):
        assert run("predict", DICOM, "--json", "-", "--force") == 0
        captured = capsys.readouterr()
        prediction = json.loads(captured.out)["results"][0]["prediction"]
        keys = ("input", "task", "label", "probabilities", "decision", "threshold", "gate", "heat", "provenance")
        assert set(keys) <= set(prediction)
        assert set(prediction["probabilities"]) == {"non-stroke", "stroke"}
        assert {"accepted", "reason"} <= set(prediction["gate"])
        assert {"peak", "grid", "share"} <= set(prediction["heat"])

    def test_no_explain_leaves_the_evidence_out(self, capsys):
        assert run("predict", DICOM, "--json", "-", "--force", "--no-explain") == 0
        assert json.loads(capsys.readouterr().out)["results"][0]["prediction"]["heat"] is None

    def test_threshold_moves_the_label(self, capsys):
        labels = []
        for threshold in (0, 1):
            run("predict", DICOM, "--json", "-", "--force", "--threshold", threshold)
            labels.append(json.loads(capsys.readouterr().out)["results"][0]["prediction"]["label"])
        assert labels == ["stroke", "non-stroke"]

    def test_triage_of_a_slice_and_of_a_series(self, pictures, capsys):
        arguments = ("--task", "triage", "--json", "-", "--force", "--threshold", 0)
        assert run("predict", DICOM, pictures / "series", *arguments) == 0
        one, series = (r["prediction"] for r in json.loads(capsys.readouterr().out)["results"])
        assert set(one["subtype"]["probabilities"]) == {"ischemic", "hemorrhagic"}
        assert len(series["presence"]["slices"]) == 3
        assert series["subtype"]["task"] == "subtype"
        assert series["subtype_slice"] == series["presence"]["peak"]

    def test_overlays_of_slice_and_series(self, pictures, tmp_path):
        assert run("predict", pictures, "--overlays", tmp_path / "maps", "--force") == 0
        written = sorted(p.relative_to(tmp_path / "maps").as_posix() for p in (tmp_path / "maps").rglob("*.png"))
        series = [f"series/slice-000{i}.overlay.png" for i in range(3)]
        assert written == [*series, "slice10.png.overlay.png", "slice2.png.overlay.png"]
        assert np.asarray(Image.open(tmp_path / "maps" / "slice2.png.overlay.png")).shape[2] == 3

    def test_descriptions_are_kept_where_they_are_asked_for_alone(self, pictures, tmp_path, capsys):
        series, out = pictures / "series", [tmp_path / name for name in ("without", "with")]
        for file in series.iterdir():
            ds = pydicom.dcmread(file)
            ds.StudyDescription, ds.SeriesDescription, ds.SliceThickness = "Kopf nativ", "Axial H31", 5
            ds.AcquisitionDate = "20240503"
            ds.save_as(file)
        said = []
        for folder, flag in zip(out, ("--no-case-names", "--case-names"), strict=True):
            flags = ["--json", folder / "o.json", "--csv", folder / "o.csv", "--overlays", folder / "p", flag]
            folder.mkdir()
            assert run("predict", series, "--force", *flags) == 0
            said.append("".join((folder / name).read_text() for name in ("o.json", "o.csv")) + capsys.readouterr().out)
        assert not any(word in said[0] for word in ("Kopf", "Axial H31", "2024-05-03"))
        label = "series · Kopf nativ · Axial H31 · 5 mm · 2024-05-03"
        assert json.loads((out[1] / "o.json").read_text())["results"][0]["case"] == label
        rows = list(csv.DictReader(io.StringIO((out[1] / "o.csv").read_text())))
        assert {row["case"] for row in rows} == {label}
        with Image.open(out[1] / "p" / "series" / "slice-0001.overlay.png") as picture:
            drawn = np.asarray(picture)
        assert stands_on(drawn, label, 14, bold=True)
        assert stands_on(drawn, "Slice 2 of 3, at", 14)

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["nowhere.png"], 3, "no such file"),
            ([DICOM, "--model", "nonsense"], 4, "nonsense"),
            ([DICOM, "--device", "cuda:9"], 5, "cuda:9"),
            ([DICOM, "--json", "/nonexistent/o.json"], 2, "does not exist"),
            ([DICOM, "--json", "-", "--csv", "-"], 2, "Only one"),
            ([DICOM, "--overlays", "x", "--no-explain"], 2, "--overlays"),
        ],
    )
    def test_wrong_usage_is_one_sentence(self, capsys, tmp_path, monkeypatch, arguments, code, words):
        monkeypatch.chdir(tmp_path)
        assert run("predict", *arguments) == code
        error = capsys.readouterr().err
        assert words in error
        assert "Traceback" not in error

    @pytest.mark.parametrize("threshold", ["nan", "1.5", "-0.1", "half"])
    def test_threshold_out_of_range_is_usage(self, threshold):
        with pytest.raises(SystemExit) as stop:
            run("predict", DICOM, f"--threshold={threshold}")
        assert stop.value.code == 2


class TestOtherCommands:
    def test_models_lists_both(self, capsys):
        assert run("models") == 0
        text = capsys.readouterr().out
        assert "strokenext-atto-presence" in text
        assert "57,607,618" in text

    def test_models_as_json(self, capsys):
        assert run("models", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert {c["task"] for c in found["bundled"]} == {"presence", "subtype"}
        assert {r["name"]: r["params"] for r in found["zoo"]}["strokenext_tiny"] == 57_607_618

    def test_info_names_the_format_and_not_the_patient(self, capsys):
        import pydicom

        name = str(pydicom.dcmread(DICOM).get("PatientName", ""))
        assert run("info", DICOM) == 0
        text = capsys.readouterr().out
        assert "CT" in text
        assert not name or name not in text

    def test_info_of_a_foreign_file(self, tmp_path, capsys):
        (tmp_path / "a.html").write_text("<html></html>")
        assert run("info", tmp_path / "a.html") == 2
        assert "web page" in capsys.readouterr().err


def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    """The command in a process that SIGINT reaches: a shell's background job ignores it, and so would its children."""
    command = [sys.executable, "-m", "strokenext", *map(str, arguments)]
    options |= {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
    return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ, OMP_NUM_THREADS="1"), **options)  # type: ignore[call-overload]


def test_help_documents_exit_codes_and_loads_nothing_heavy():
    run_help = "try: main(['predict', '--help'])\nexcept SystemExit: print(sorted(sys.modules))"
    code = f"import sys\nfrom strokenext.cli import main\n{run_help}"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "exit codes" in output
    assert "--overlays" in output
    for heavy in ("torch", "pydicom", "cv2", "PIL", "numpy"):
        assert f"'{heavy}'" not in output, heavy


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
class TestBeingStopped:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_keeps_what_was_judged_and_leaves_nothing_half_written(self, tmp_path, number):
        many = tmp_path / "in"
        many.mkdir()
        for count in range(400):
            (many / f"case{count}a{count}.png").write_bytes((EXAMPLES / "hemorrhage.png").read_bytes())
        process = start("predict", many, "--json", tmp_path / "o.json", "--force", stdout=subprocess.PIPE, bufsize=0)
        assert process.stdout is not None
        first = process.stdout.readline()
        assert b"case0a0.png" in first
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
        document = json.loads((tmp_path / "o.json").read_text())
        assert process.returncode == 130
        assert document["interrupted"] is True
        assert 1 <= len(document["results"]) < 400
        assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "o.json"]

    def test_reader_that_goes_away_is_no_traceback(self):
        process = start("models", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(timeout=PATIENCE) == 141

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
    def test_a_full_disk_behind_the_output_is_a_sentence(self):
        with open("/dev/full", "wb") as full:
            process = start("models", stdout=full, stderr=subprocess.PIPE)
            said = process.communicate(timeout=PATIENCE)[1].decode()
        assert process.returncode == 8
        reason = "No space left on device"
        assert said == f"The results could not be written: {reason}. Free some space, or write them elsewhere.\n"

    def test_a_closed_output_is_no_failure(self):
        command = f"{sys.executable} -m strokenext models >&- 2>&-"
        assert subprocess.run(["sh", "-c", command], cwd=ROOT, timeout=PATIENCE).returncode == 0

    def test_a_caller_s_own_handler_stays(self):
        seen: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
        try:
            with signals_interrupt():
                signal.raise_signal(signal.SIGTERM)
            assert seen == [signal.SIGTERM]
        finally:
            signal.signal(signal.SIGTERM, before)
        with pytest.raises(KeyboardInterrupt), signals_interrupt():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == before

"""The report holds what the result files say and names what is missing; tables of documents cannot drift unseen."""

from __future__ import annotations

import contextlib
import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from strokenext.errors import DataError
from tests.helpers.places import ROOT
from tests.helpers.result_tree import HISTORY, one, write_tree
from training.__main__ import main
from training.measure.estimate import text
from training.measure.measures import measure
from training.measure.result import Result
from training.report import command as report
from training.report import documents, figures, record_tables, tables
from training.report.pdf import Pages
from training.results import pairs
from training.results.coverage import lacking
from training.results.paper import TABLES
from training.results.tree import Entry, Material, collect


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def material(folder: Path) -> Material:
    return collect(folder)


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    assert main(["report", "--results", str(folder), "--out", str(out)]) == 0
    return out


def entry(result: Result, protocol: str) -> Entry:
    return Entry(result, "presence", protocol)


def test_the_page_holds_the_figures_of_the_files_and_fetches_nothing(written: Path, material: Material) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')>\s]+)', page)
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in page
    assert "Not a medical device" in page
    assert "TRIPOD+AI" in page
    for e in material.entries:
        if not e.random:
            assert text(e.result.metrics["ranking"]["auroc"]) in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_missing_parts_are_named_with_the_command_that_makes_them(written: Path, material: Material) -> None:
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "Made by: <code>python -m training experiments" in page
    for part in ("subtype, by patient", "subtype, random labels", "segmentation", "volumes", "cost", "scope gate"):
        assert f"Not measured yet: {part}. Made by: <code>python -m training" in page
    assert "Not measured yet: presence, image level" not in page
    assert {part.name: part.files for part in report.parts(material)}["presence, one source left out"] == 2


def test_an_empty_folder_still_gives_a_report_of_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert main(["report", "--results", str(tmp_path / "in"), "--out", str(tmp_path)]) == 0
    assert "0.978" in (tmp_path / "report.html").read_text(encoding="utf-8")  # the paper's figures
    with pytest.raises(DataError, match="no folder"):
        collect(tmp_path / "nowhere")


def test_every_page_of_the_pdf_has_something_on_it(written: Path) -> None:
    data = (written / "report.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    drawn = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", data, re.DOTALL):
        with contextlib.suppress(zlib.error):
            content = zlib.decompress(stream)
            if b"BT " in content:
                drawn.append(content.count(b"BT ") + 10 * content.count(b" Do "))
    assert pages == len(drawn) >= 5
    assert min(drawn) > 4  # more than the page's number and the title at its foot


def test_the_papers_table_stands_beside_both_protocols(material: Material) -> None:
    rows = tables.paper_table(material, "presence").rows
    mine = [r for r in rows if r[0] == "ResNet50"]
    assert [r[1] for r in mine] == ["paper, image level", "here, image level", "here, by patient"]
    assert mine[0][2:6] == ("0.856", "0.854", "0.856", "0.853")
    grouped = material.one("presence", "grouped", "resnet50")
    assert grouped is not None
    assert mine[2][2] == f"{grouped.result.metrics['at_threshold']['accuracy']['value']:.3f}"
    assert mine[2][7:9] == ("0.500", "0.0123")
    assert mine[2][9] == "96 px, a processor, trained on a big GPU"
    assert any(r[0] == "StrokeNeXt atto" for r in rows)
    assert len(tables.paper_table(material, "subtype").rows) == len(TABLES["subtype"])


def test_a_source_left_out_stands_beside_the_same_source_known(material: Material) -> None:
    row = next(r for r in tables.source_table(material, "presence").rows if r[0] == "StrokeNeXt atto")
    known = material.one("presence", "grouped", "strokenext_atto")
    assert known is not None
    assert row[1] == "a"
    assert row[4] == text(known.result.metrics["by_source"]["a"]["auroc"])


def test_random_labels_are_kept_out_of_every_other_table(material: Material) -> None:
    assert len(tables.control_table(material, "presence").rows) == 2
    assert all("random" not in r[1] for r in tables.main_table(material.of("presence")).rows)
    assert all(not e.random for e, _ in pairs.matched(material.of("presence")))


def test_one_class_alone_gives_dashes_and_no_error(tmp_path: Path) -> None:
    whole = one("resnet50", "source-b")
    p = whole.predictions.where(whole.predictions.labels == 1)
    replace(whole, predictions=p, metrics=measure(p, 0.5, draws=20)).write(tmp_path / "presence/source-b/x.json")
    material = collect(tmp_path)
    assert tables.source_table(material, "presence").rows[0][3:5] == ("–", "–")
    assert any(s.title.startswith("Results: presence") for s in report.sections(material))


def test_named_test_sets_and_the_commands_behind_results_are_shown(material: Material) -> None:
    row = {
        "slices": 9,
        "positives": 4,
        "groups": 3,
        "auroc": {"value": 0.8, "low": 0.7, "high": 0.9},
        "sensitivity": 0.5,
        "specificity": 0.75,
        "sensitivity_at_specificity_0.85": 0.4,
    }
    e = entry(
        replace(one("resnet50", "grouped"), extra={"rows": {"validation": row, "unseen source X": row}}), "grouped"
    )
    assert tables.rows_table([e]).rows == (
        ("unseen source X", "ResNet50", "by patient", "9 (4)", "3", "0.800 (0.700 to 0.900)", "0.50", "0.75", "0.40"),
    )
    made = {"cell": "presence/grouped/x", "train": "python -m training train", "training_seconds": 90}
    assert record_tables.experiments_table([made]).rows[0][:3] == (
        "presence/grouped/x",
        "`python -m training train`",
        "1.5",
    )


def test_a_volume_result_stays_out_of_the_tables_of_slices(tmp_path: Path) -> None:
    one("cnn3d", "grouped").write(tmp_path / "volume" / "cnn3d.json")
    material = collect(tmp_path)
    assert material.of("presence") == []
    assert len(material.of("volume")) == 1


def test_figures_of_a_record_of_unknown_form_are_listed() -> None:
    row = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 12, "units": 3}
    record = {"model": {"architecture": "unet"}, "metrics": {"iou": row, "by_source": {"x": {"dice": 0.25}}, "n": 4}}
    found = record_tables.record_table({"unet": record}).rows
    assert found[0] == ("U-Net (unet)", "iou", "0.500 (0.400 to 0.600)", "12 (3)")
    assert found[1][1:3] == ("by source: x: dice", "0.250")


def test_segmentation_shows_lesions_and_slices_without_any() -> None:
    row = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 12, "units": 3}
    lesions = {
        "slices": 12,
        "patients": 3,
        "iou": row,
        "dice": row | {"value": 0.6},
        "dice_patients": row,
        "lesions_found": row,
    }
    free = {"slices": 9, "patients": 2, "slices_marked": row | {"value": 0.1}, "marked_share_of_head": row}
    record = {"model": {"architecture": "unet"}, "metrics": {"phe_sich, edema": lesions, "normal slices, ct_ich": free}}
    rows = record_tables.segmentation_table({"unet": record}).rows
    assert rows[0][1:5] == ("phe_sich, edema", "12 (3)", "0.500 (0.400 to 0.600)", "0.600 (0.400 to 0.600)")
    assert rows[1][1:5] == ("normal slices, ct_ich", "9 (2)", "–", "–")
    assert rows[1][7] == "0.100 (0.400 to 0.600)"


def test_convergence_reads_nested_and_flat_histories() -> None:
    assert figures.curves(HISTORY)["validation auroc"] == [(1.0, 0.6), (2.0, 0.8)]
    assert figures.curves([{"loss": 0.5, "rate": 1e-3, "seconds": 3}]) == {"loss": [(1.0, 0.5)]}


def test_what_was_not_run_comes_from_its_file(material: Material, tmp_path: Path) -> None:
    assert record_tables.not_run_table(material.not_run).rows == (
        ("the full sizes", "no GPU", "atto", "python -m training x"),
    )
    reason = '[[not_run]]\nwhat = "x"\nwhy = "no such slices."\nparts = ["subtype, by patient"]\n'
    (tmp_path / "not_run.toml").write_text(reason)
    assert lacking(collect(tmp_path), "subtype, by patient") == "Not run: subtype, by patient. no such slices."
    (tmp_path / "not_run.toml").write_text('[[not_run]]\nwhat = "x"\n')
    with pytest.raises(DataError, match="lacks `what` or `why`"):
        collect(tmp_path)
    (tmp_path / "not_run.toml").unlink()
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match=r"broken\.json is not JSON"):
        collect(tmp_path)


def test_readme_tables_are_filled_and_drift_is_seen(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# A\n<!-- results:paper-presence -->\nold\n<!-- /results:paper-presence -->\nafter\n")
    command = ["readme", "--results", str(folder), "--file", str(file)]
    assert main([*command, "--check"]) == 1
    assert "old" in file.read_text(encoding="utf-8")
    assert main(command) == 0
    text = file.read_text(encoding="utf-8")
    assert "| StrokeNeXt atto | – |" in text
    assert "MobileNetV2" not in text  # not run here
    assert text.endswith("<!-- /results:paper-presence -->\nafter\n")
    assert main([*command, "--check"]) == 0
    one("mobilenetv2", "grouped").write(folder / "presence" / "grouped" / "mobilenetv2.json")
    assert main([*command, "--check"]) == 1
    (folder / "presence" / "grouped" / "mobilenetv2.json").unlink()
    with pytest.raises(DataError, match="asks for the table 'weather'"):
        documents.filled("<!-- results:weather -->\n<!-- /results:weather -->", {})


def test_wide_tables_fit_the_page() -> None:
    pages = Pages("title")
    widths = pages.column_widths([("a", "b", "c"), ("x" * 30, "words " * 60, "1.0")])
    assert sum(widths) <= pages.epw + 1e-6
    assert widths[0] > pages.get_string_width("x" * 30)
    assert widths[2] > pages.get_string_width("1.0")
    assert widths[1] > widths[0]
    wide = [[f"head{i} of" for i in range(30)], ["0.123"] * 30]
    assert sum(pages.column_widths(wide)) <= pages.epw + 1e-6
    assert pages.font_size_pt < 7


def test_every_item_of_the_checklist_has_an_answer() -> None:
    lines = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert len(rows) >= 20
    for item, standard, answer in rows:
        assert item
        assert re.search(r"(CLAIM|TRIPOD\+AI) \d", standard)
        assert answer.endswith(".")

"""The report holds what the result files say, the same bytes each time; the README's tables cannot drift unseen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from strokenext.errors import DataError
from tests.test_training_evaluate import made
from training import own_tables, readme, report, tables
from training.__main__ import main
from training.measures import measure
from training.paper import TABLES
from training.render import Table, _text_table
from training.results import Result, write_result

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("results")
    for protocol, signal in (("image", 4.0), ("grouped", 2.0)):
        for seed, name in enumerate(("strokenext_atto", "resnet50")):
            p = made(100, signal / (1 + seed), seed)
            model = {"name": name, "architecture": name, "task": "presence", "threshold": 0.5, "temperature": 1.2}
            data = {"protocol": protocol, "part": "test", "seconds_per_image": 0.0123}
            metrics = measure(p, 0.5, 1.2, draws=40)
            write_result(
                Result(model, data, {}, metrics, p, {"training_hours": 0.5}), found / f"{name}_{protocol}.json"
            )
    (found / "notes.json").write_text("[1, 2]")
    return found


def test_report_is_one_page_and_a_pdf_with_the_numbers_of_the_files(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "a-run"
    run.mkdir()
    (run / "history.jsonl").write_text(
        '{"step": 1, "loss": 0.7, "auroc": 0.6}\n{"step": 2, "loss": 0.5, "auroc": 0.8}\n'
    )
    assert main(["report", "--results", str(folder), "--run", str(run), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', page.replace('xlink:href="#', ""))  # nothing from outside
    assert "Not a medical device" in page
    assert page.count("<svg") >= 5
    material = report.collect(folder)
    auroc = material.results[0].metrics["ranking"]["auroc"]
    assert tables.estimate(auroc) in page
    assert "TRIPOD+AI" in page
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_paper_table_puts_both_protocols_and_the_gap_beside_the_published(folder: Path) -> None:
    material = report.collect(folder)
    table = tables.paper_table(material.results, "presence")
    row = next(r for r in table.rows if r[0] == "ResNet50")
    assert row[1] == "0.856"
    ours = {r.data["protocol"]: r.metrics["at_threshold"]["accuracy"]["value"] for r in material.results
            if r.name == "resnet50"}  # fmt: skip
    assert row[7] == f"{ours['image']:.3f}"
    assert row[9] == f"{ours['grouped']:.3f}"
    assert row[11] == f"{ours['image'] - ours['grouped']:.3f}"
    assert any(r[0] == "StrokeNeXt atto" and r[1] == "–" for r in table.rows)
    assert len(tables.paper_table(material.results, "subtype").rows) == len(TABLES["subtype"])


def test_readme_tables_are_filled_and_drift_is_seen(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# A\n<!-- results:presence -->\nold\n<!-- /results:presence -->\nafter\n", encoding="utf-8")
    command = ["report", "--results", str(folder), "--readme", str(file), "--out", str(tmp_path / "o")]
    assert main([*command, "--check"]) == 1
    found = readme.update(file, report.readme_tables(report.collect(folder)))
    assert not found
    text = file.read_text(encoding="utf-8")
    assert "| StrokeNeXt atto | by patient |" in text
    assert text.endswith("<!-- /results:presence -->\nafter\n")
    assert main([*command, "--check"]) == 0
    with pytest.raises(DataError, match="asks for the table 'weather'"):
        readme.filled("<!-- results:weather -->\n<!-- /results:weather -->", {})


def test_empty_folder_and_missing_history_are_sentences(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no result file"):
        report.collect(tmp_path)
    with pytest.raises(DataError, match=r"no history.jsonl"):
        report.collect(folder, [tmp_path])


def test_wide_tables_fit_the_page() -> None:
    table = Table(("a", "b"), (("x" * 30, "words " * 60),))
    lines = _text_table(table, 80)
    assert max(map(len, lines)) <= 80
    assert "".join(lines).count("words") == 60


def test_the_readme_of_this_repository_has_not_drifted() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.filled(text, own_tables.tables(ROOT)) == text, "run: python -m training readme"

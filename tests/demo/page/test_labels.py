"""What a case is called: the same on the stage, over the answer and in every file, never more than may be shown."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from demo.page import takeaway
from demo.server import shows_names
from demo.service import Service
from demo.settings import Settings, parse
from strokenext import file_stem
from tests.helpers.page_desk import Desk
from tests.helpers.places import EXAMPLES
from tests.helpers.reading import stands_on
from tests.helpers.tiny_models import started

pytestmark = pytest.mark.usefixtures("tiny_assets")
LABEL = "CT 7.zip · Kopf <nativ> Müller · Axial 5.0 · 5 mm · 2024-05-03"
#: What may name a patient, in whichever form an output has it.
NAMES = ("CT 7", "Kopf", "Müller", "Muller", "M\\u00fcller", "Axial", "2024-05-03", "20240503")


def tagged(data: bytes, series: str = "Axial\u202e 5.0") -> bytes:
    """A slice of the example series with descriptions that an operator typed."""
    ds = pydicom.dcmread(io.BytesIO(data))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyDescription, ds.SeriesDescription, ds.AcquisitionDate = "Kopf <nativ> Müller", series, "20240503"
    ds.SliceThickness, ds.PatientName, ds.PatientID = 5, "Doe^John", "MRN-7"
    written = io.BytesIO()
    ds.save_as(written)
    return written.getvalue()


def zipped(path: Path, *series: str) -> Path:
    """A zip with three slices of each series."""
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as source:
        files = [source.read(name) for name in sorted(source.namelist())[6:9]]
    with zipfile.ZipFile(path, "w") as archive:
        for number, description in enumerate(series):
            for place, data in enumerate(files):
                ds = pydicom.dcmread(io.BytesIO(tagged(data, description)))
                ds.SeriesInstanceUID = f"1.2.3.{number}"
                written = io.BytesIO()
                ds.save_as(written)
                archive.writestr(f"{number}/IM{place}", written.getvalue())
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zipped(tmp_path_factory.mktemp("scan") / "CT 7.zip", "Axial\u202e 5.0")


@pytest.fixture(scope="module")
def naming(tiny_assets: None) -> Service:
    return started(device="cpu", workers=1, case_names=True)


@pytest.fixture(scope="module")
def numbering(tiny_assets: None) -> Service:
    return started(device="cpu", workers=1, case_names=False)


def taken(desk: Desk, kind: str, **more: Any) -> tuple[str, bytes]:
    reply = takeaway.reply(desk.handlers.shown, desk.named(kind=kind, **more))
    return reply["name"], base64.b64decode(reply["data"])


def test_one_label_stands_everywhere(naming: Service, scan: Path) -> None:
    desk = Desk(naming)
    screen = desk.open(scan)
    assert desk.case.label == LABEL
    assert screen.viewer is not None
    assert screen.viewer["label"] == LABEL
    assert f'<p class="a-label">{escape(LABEL)}</p>' in screen.answer.partition('data-of="slice"')[0]
    stem = f"{file_stem(LABEL)}-slice-{desk.case.index + 1}-strokenext"
    assert re.fullmatch(r"CT-7\.zip-Kopf-nativ-M[A-Za-z0-9._-]+5-mm-2024-05-03-slice-\d-strokenext", stem)
    name, data = taken(desk, "json")
    assert name == f"{stem}.json"
    assert json.loads(data)["label"] == LABEL
    name, data = taken(desk, "html")
    assert name == f"{stem}-report.html"
    report = data.decode()
    assert f"<title>StrokeNeXt report: {escape(LABEL)}</title>" in report
    assert f'<p class="case">{escape(LABEL)}</p>' in report
    assert f"Slice {desk.case.index + 1} of 3, at " in report
    name, data = taken(desk, "png")
    assert name == f"{stem}-overlay.png"
    picture = np.asarray(Image.open(io.BytesIO(data)))
    assert stands_on(picture, LABEL, 14, bold=True)
    assert stands_on(picture, f"Slice {desk.case.index + 1} of 3, at", 14)
    name, data = taken(desk, "zip")
    assert name == f"{stem}.zip"
    assert all(one.startswith(stem) for one in zipfile.ZipFile(io.BytesIO(data)).namelist())


def test_no_output_holds_the_name_or_number_of_the_patient(naming: Service, scan: Path) -> None:
    desk = Desk(naming)
    screen = desk.open(scan)
    said = screen.answer + json.dumps(screen.viewer) + "".join(taken(desk, k)[1].decode() for k in ("json", "html"))
    assert not [secret for secret in ("Doe^John", "John", "MRN-7") if secret in said]


def test_without_names_a_case_is_a_number_and_nothing_names_anybody(numbering: Service, scan: Path) -> None:
    desk = Desk(numbering)
    desk.open(EXAMPLES / "normal.dcm")
    screen = desk.open(scan)
    assert desk.case.label == "Case 2 · 5 mm"
    said = screen.answer + json.dumps(screen.viewer) + json.dumps(desk.tab.snapshot(), default=str)
    for kind in takeaway.KINDS:
        name, data = taken(desk, kind)
        assert name.startswith("Case-2-5-mm-slice-")
        said += name if kind == "png" else name + data.decode()
        if kind == "png":
            assert stands_on(np.asarray(Image.open(io.BytesIO(data))), "Case 2 · 5 mm", 14, bold=True)
    assert not [one for one in NAMES if one in said]
    assert Desk(numbering).tab.count() == 1  # of another page


def test_a_series_of_several_is_told_from_its_neighbours(naming: Service, tmp_path: Path) -> None:
    path = zipped(tmp_path / "two.zip", "Thin", "Thick")
    labels = set()
    for number in (1, 2):
        desk = Desk(naming)
        desk.open(path, series=number)
        labels.add(desk.case.label)
    assert {label.split(" · ")[0] for label in labels} == {"two.zip, series 1", "two.zip, series 2"}
    assert {label.split(" · ")[2] for label in labels} == {"Thin", "Thick"}


def test_what_a_request_says_of_itself_changes_no_label(naming: Service, scan: Path) -> None:
    desk = Desk(naming)
    desk.open(scan)
    for word in ("label", "title", "name", "folder"):
        name, data = taken(desk, "json", **{word: "Somebody else"})
        assert json.loads(data)["label"] == LABEL
        assert "Somebody" not in name


@pytest.mark.parametrize(
    ("places", "folder", "name"),
    [
        (["CT7.zip"], None, "CT7.zip"),
        (["Kopf 2024/IM1", "Kopf 2024/IM2"], "Kopf 2024", "Kopf 2024"),
        (["IM1", "IM2"], None, "2 files"),
        (["x/IM1"], ["no", "text"], "IM1"),
        ([7], None, "1 file"),
    ],
)
def test_what_is_opened_has_a_name(places: list[Any], folder: Any, name: str) -> None:
    from demo.page import requests

    files = [f"token/{number}" for number in range(len(places))]
    assert requests.name({"files": files, "places": places, "folder": folder}) == name


@pytest.mark.parametrize(
    ("arguments", "environment", "shown"),
    [
        ([], {}, True),
        (["--host", "localhost"], {}, True),
        (["--host", "0.0.0.0"], {}, False),
        (["--host", "192.0.2.1"], {}, False),
        ([], {"SPACE_ID": "somebody/strokenext"}, False),
        (["--host", "127.0.0.1"], {"SPACE_ID": "somebody/strokenext"}, False),
        (["--allow-host", "stroke.example.org"], {}, False),  # a proxy stands before it
        (["--host", "0.0.0.0", "--case-names"], {}, True),
        (["--no-case-names"], {}, False),
        ([], {"STROKENEXT_CASE_NAMES": "0"}, False),
        (["--host", "0.0.0.0"], {"STROKENEXT_CASE_NAMES": "1"}, True),
        (["--case-names"], {"STROKENEXT_CASE_NAMES": "0"}, True),
    ],
)
def test_names_are_shown_where_the_reader_is_alone_unless_it_is_said(
    arguments: list[str], environment: dict[str, str], shown: bool
) -> None:
    assert shows_names(parse(arguments, environment), environment) is shown


def test_a_service_that_was_told_nothing_keeps_no_names(scan: Path) -> None:
    service = Service(Settings(device="cpu"))
    try:
        image = service.offer(scan).image
    finally:
        service.stop()
    assert image is not None
    assert image.label is None

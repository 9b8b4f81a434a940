"""What may have changed an answer stands beside it: on the page, in the report, in the printed line."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import get_args

import pytest

import strokenext
from demo.page import answer, text
from demo.service import Service
from demo.sessions import Case
from strokenext import Caution, Slice, Triage, Volume, report
from strokenext.cli.predict import sentence
from strokenext.types import CautionCode
from tests.helpers.places import ROOT
from tests.helpers.tiny_models import pair, started

#: A sentence of each kind, with a character that HTML must escape.
CAUTIONS = tuple(Caution(code, f"Sentence <{code}>.") for code in get_args(CautionCode))


@pytest.fixture(scope="module")
def service() -> Service:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROKENEXT_ASSETS", str(pair()))
        return started(device="cpu", workers=1)


@pytest.fixture(scope="module")
def image() -> Slice:
    return replace(strokenext.read_slice(ROOT / "assets" / "examples" / "hemorrhage.dcm"), cautions=CAUTIONS)


@pytest.fixture(scope="module")
def triage(service: Service, image: Slice) -> Triage:
    result = service.predict(image).answer
    assert isinstance(result, Triage)
    return result


def outside_of_details(html: str) -> str:
    """What is to be seen without opening a collapsed part."""
    return "".join(part.partition("</details>")[2] or part for part in html.split("<details"))


@pytest.mark.parametrize("caution", CAUTIONS, ids=lambda caution: caution.code)
def test_every_caution_stands_beside_the_answer(caution: Caution, image: Slice, triage: Triage) -> None:
    case = Case((replace(image, notes=(caution.sentence,)),), "DICOM")
    panel = answer.html(case.with_answer(0, case.options, triage))
    assert panel.count(escape(caution.sentence)) == 1
    assert escape(caution.sentence) in outside_of_details(panel)
    assert escape(caution.sentence) in outside_of_details(report.html(triage))
    assert sentence(triage.to_json()).count(caution.sentence) == 1


def test_a_series_says_them_of_the_series(service: Service, image: Slice) -> None:
    volume = Volume((image, image), cautions=CAUTIONS)
    series = service.predict(volume).answer
    single = service.predict(image).answer
    case = Case(volume.slices, "series", volume=volume, series=series)  # type: ignore[arg-type]
    panel = answer.html(case.with_answer(0, case.options, single))  # type: ignore[arg-type]
    of_case, _, of_slice = panel.partition('data-of="slice"')
    assert all(escape(caution.sentence) in of_case for caution in CAUTIONS)
    assert not any(escape(caution.sentence) in of_slice for caution in CAUTIONS)


def test_an_answer_without_any_has_no_empty_card(service: Service, image: Slice) -> None:
    plain = replace(image, cautions=())
    result = service.predict(plain).answer
    assert isinstance(result, Triage)
    presence = replace(result.presence, cautions=())
    case = Case((plain,), "DICOM")
    assert text.CAUTIONS not in answer.html(case.with_answer(0, case.options, replace(result, presence=presence)))

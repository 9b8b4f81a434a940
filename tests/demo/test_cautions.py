"""What may have changed an answer stands beside it, in every output: each kind of caution, from every answer."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from PIL import Image

import strokenext
from demo.api import reply, schemas
from demo.page import answer, takeaway
from demo.service import Options, Result, Service
from demo.sessions import Case
from strokenext import Caution, CautionCode, SeriesTriage, Slice, Triage, Volume, cli, words
from strokenext.answer.answer import Answer
from strokenext.cli import predict, segment
from strokenext.cli.options import build_parser
from strokenext.types import ByteArray
from tests.helpers.masked_phantoms import segmentation_model
from tests.helpers.places import EXAMPLES
from tests.helpers.reading import stands_on
from tests.helpers.tiny_models import pair, started, volume_model

CODES: tuple[CautionCode, ...] = get_args(CautionCode)
#: Who may say one: the file's reader of a slice or a series, and each model about what it was given.
OF_SLICE, OF_SERIES, OF_TYPE, OF_WHOLE, OF_MARKS = "slice", "series", "type", "whole", "marks"
SLICES = 3


def said(code: CautionCode, by: str) -> str:
    """The sentence of a caution, with characters that HTML must escape."""
    return f"About <{code}&{by}>."


def cautions(by: str) -> tuple[Caution, ...]:
    return tuple(Caution(code, said(code, by)) for code in CODES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STROKENEXT_ASSETS", str(pair()))
        yield {
            "volume": str(volume_model(folder / "toy-volume", least=SLICES)),
            "segmentation": str(segmentation_model(folder / "toy-marks", size=128)),
        }


@pytest.fixture(scope="module")
def image() -> Slice:
    return replace(strokenext.read_slice(EXAMPLES / "hemorrhage.dcm"), cautions=cautions(OF_SLICE))


@pytest.fixture(scope="module")
def volume(image: Slice) -> Volume:
    series = Volume((image,) * SLICES, tuple(5.0 * i for i in range(SLICES)), cautions=cautions(OF_SERIES))
    return replace(series, cautions=(*series.cautions, *image.cautions))


@pytest.fixture(scope="module")
def service(models: dict[str, str]) -> Service:
    return started(device="cpu", workers=1, **models)


@dataclass(frozen=True)
class Said:
    """All that the models say of a slice, and of a series with its slices; each adds its own cautions."""

    slice: Result
    series: Result
    case: Case


@pytest.fixture(scope="module")
def everything(service: Service, image: Slice, volume: Volume) -> Said:
    judge = Options(force=True)
    single, series = service.predict(image, options=judge), service.predict(volume, options=judge)
    assert isinstance(single.answer, Triage)
    assert isinstance(series.answer, SeriesTriage)
    subtype, whole = single.answer.subtype, service.predict_whole(series, judge)
    marks = service.segment(image, single.first.gate, force=True)  # type: ignore[arg-type]
    assert subtype is not None
    assert whole is not None
    assert marks is not None
    assert not marks.refused
    subtype = replace(subtype, cautions=(*subtype.cautions, *cautions(OF_TYPE)))
    whole = replace(whole, cautions=(*whole.cautions, *cautions(OF_WHOLE)))
    marks = replace(marks, cautions=(*marks.cautions, *cautions(OF_MARKS)))
    triage, of_series = replace(single.answer, subtype=subtype), replace(series.answer, subtype=subtype)
    case = Case(volume.slices, "series", volume=volume, series=of_series, whole=whole, index=1)
    case = case.with_answer(1, case.options, triage).with_marks(1, case.options, marks)
    return Said(Result(image, triage, marks=marks), Result(volume, of_series, whole, marks), case)


def visible(html: str) -> str:
    """What is to be seen without opening a collapsed part."""
    return "".join(part.partition("</details>")[2] or part for part in html.split("<details"))


@cache
def pixels(data: bytes) -> ByteArray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def in_json(text: str) -> Callable[[str], bool]:
    return lambda sentence: json.dumps(sentence, ensure_ascii=False) in text


def in_html(text: str) -> Callable[[str], bool]:
    return lambda sentence: escape(sentence) in visible(text)


def in_picture(data: bytes) -> Callable[[str], bool]:
    return lambda sentence: stands_on(pixels(data), sentence.split()[-1], 14)


# --- the page ---


def of_page(name: str, case: Case) -> Callable[[str], bool]:
    """Whether a sentence stands on the page, or in a file that is taken away from it."""
    if name == "panel":
        return in_html(answer.html(case))
    assert case.answer is not None
    data = takeaway.make(
        name, case, case.answer, takeaway.Opinion(), takeaway.View(window=strokenext.windows.BRAIN)
    ).data
    return {
        "html": lambda: in_html(data.decode()),
        "png": lambda: in_picture(data),
        "json": lambda: in_json(data.decode()),
    }[name]()


PAGE = ("panel", *takeaway.KINDS)


@pytest.mark.parametrize("name", PAGE)
def test_every_output_of_the_page_says_all_of_them(name: str, everything: Said) -> None:
    stands = of_page(name, everything.case)
    for by in (OF_SLICE, OF_SERIES, OF_TYPE, OF_WHOLE, OF_MARKS):
        missing = [code for code in CODES if not stands(said(code, by))]
        assert not missing, (by, missing)
    assert not stands(said("contrast", "nobody"))


def test_each_stands_once_on_the_page_and_with_its_case_or_its_slice(everything: Said) -> None:
    panel = answer.html(everything.case)
    of_case, _, of_slice = panel.partition('data-of="slice"')
    for code in CODES:
        for by in (OF_SLICE, OF_SERIES, OF_TYPE, OF_WHOLE, OF_MARKS):
            assert panel.count(escape(said(code, by))) == 1
        assert escape(said(code, OF_SERIES)) in of_case
        assert escape(said(code, OF_WHOLE)) in of_case
        assert escape(said(code, OF_MARKS)) in of_slice


def test_what_the_case_holds_is_known_here() -> None:
    """A new answer of a case fails this until it stands in `everything`, so that its cautions are looked for."""
    answers = {name for name, kind in get_type_hints(Case).items() if "strokenext." in str(kind)}
    assert answers == {"images", "volume", "series", "whole", "answers", "marks"}


def test_an_answer_without_any_has_no_empty_card(everything: Said) -> None:
    case, triage = everything.case, everything.case.answer
    assert triage is not None
    assert triage.subtype is not None
    bare = Triage(replace(triage.presence, cautions=()), replace(triage.subtype, cautions=()))
    alone = Case((replace(case.images[0], cautions=()),), "DICOM")
    assert words.CAUTIONS not in answer.html(alone.with_answer(0, alone.options, bare))


# --- the API ---


def of_api(result: Result, task: str) -> dict[str, Any]:
    given = replace(result, answer=result.first) if task != "triage" else result
    return reply.to_json(given, schemas.PredictForm(task=task, overlay=True, segment=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["presence", "triage"])
@pytest.mark.parametrize("what", ["slice", "series"])
def test_every_reply_of_the_api_says_all_of_them(what: str, task: str, everything: Said) -> None:
    body = of_api(getattr(everything, what), task)
    by = [OF_SLICE, OF_MARKS] + [OF_TYPE] * (task == "triage") + [OF_SERIES, OF_WHOLE] * (what == "series")
    listed = [(one["code"], one["sentence"]) for one in body["cautions"]]
    drawn = in_picture(base64.b64decode(body["overlay"]))
    for code in CODES:
        for one in by:
            assert listed.count((code, said(code, one))) == 1, one
            assert drawn(said(code, one)), one


def test_every_answer_of_the_api_promises_cautions() -> None:
    def below(schema: type) -> Iterator[Any]:
        for one in schema.__subclasses__():
            yield from (one, *below(one))

    answering = [
        s for s in below(schemas.Answer) if {"decision", "gate"} & set(s.model_fields) and s is not schemas.GateOut
    ]
    assert {"PredictionOut", "VolumeOut", "SegmentationOut", "SliceAnswer", "TriageAnswer", "SeriesAnswer"} <= {
        s.__name__ for s in answering
    }
    for schema in answering:
        assert schema.model_fields["cautions"].annotation == list[schemas.CautionOut], schema


# --- the command line ---

#: Of each command every flag that names something it writes.
WRITES = {"predict": {"--json", "--csv", "--overlays"}, "segment": {"--out", "--json"}}


def test_what_the_commands_write_is_known_here() -> None:
    parser = build_parser()
    commands = next(action for action in parser._actions if action.dest == "command")
    for name, command in commands.choices.items():  # type: ignore[union-attr, attr-defined]
        writes = {a.option_strings[0] for a in command._actions if a.metavar in {"FILE", "FOLDER"}}
        assert writes == WRITES.get(name, set())


@pytest.fixture(scope="module")
def written(
    models: dict[str, str], image: Slice, volume: Volume, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Callable[[str], bool]]:
    """Of each output of the commands whether a sentence stands in it; the files are read with the planted cautions."""
    found: dict[str, Callable[[str], bool]] = {}
    plan = {"slice": (image, ()), "series": (volume, ()), "whole": (volume, ("--model", models["volume"]))}
    for what, (given, more) in plan.items():
        folder = tmp_path_factory.mktemp(what)
        flags = ["--json", folder / "o.json", "--csv", folder / "o.csv", "--overlays", folder / "p", "--force", *more]
        task = [] if more else ["--task", "triage"]
        printed = run(given, predict, ["predict", EXAMPLES / "hemorrhage.dcm", "--device", "cpu", *flags, *task])
        table = [row["cautions"] for row in csv.DictReader(io.StringIO((folder / "o.csv").read_text()))]
        picture = min((folder / "p").rglob("*.png")).read_bytes()
        found[f"predict {what} printed"] = printed.__contains__
        found[f"predict {what} --json"] = in_json((folder / "o.json").read_text())
        found[f"predict {what} --csv"] = lambda sentence, table=table: sentence in table[0]  # type: ignore[misc]
        found[f"predict {what} --overlays"] = in_picture(picture)
    folder = tmp_path_factory.mktemp("marks")
    flags = ["--json", folder / "o.json", "--out", folder / "p", "--model", models["segmentation"], "--force"]
    found["segment printed"] = run(image, segment, ["segment", EXAMPLES / "hemorrhage.dcm", *flags]).__contains__
    found["segment --json"] = in_json((folder / "o.json").read_text())
    found["segment --out"] = in_picture(next((folder / "p").rglob("overlay.png")).read_bytes())
    return found


def run(image: Slice | Volume, command: Any, arguments: list[object]) -> str:
    """What a command prints that reads this image in place of its file."""
    plain = command.readings
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as out:
        patch.setattr(command, "readings", lambda *given: (replace(one, image=image) for one in plain(*given)))
        patch.setattr("sys.stdout", out)
        assert cli.main([str(argument) for argument in arguments]) == 0
        return out.getvalue()


@pytest.mark.parametrize("flag", ["printed", *sorted(WRITES["predict"])])
@pytest.mark.parametrize("what", ["slice", "series", "whole"])
def test_every_output_of_predict_says_all_of_them(what: str, flag: str, written: Any) -> None:
    stands = written[f"predict {what} {flag}"]
    for by in [OF_SLICE] if what == "slice" else [OF_SLICE, OF_SERIES]:
        missing = [code for code in CODES if not stands(said(code, by))]
        assert not missing, (by, missing)


@pytest.mark.parametrize("flag", ["printed", *sorted(WRITES["segment"])])
def test_every_output_of_segment_says_all_of_them(flag: str, written: Any) -> None:
    missing = [code for code in CODES if not written[f"segment {flag}"](said(code, OF_SLICE))]
    assert not missing


# --- what is saved ---


def kinds_of_answers() -> list[type[Answer]]:
    """Every class of answer that is made."""

    def below(kind: type[Answer]) -> Iterator[type[Answer]]:
        for one in kind.__subclasses__():
            if one.__module__.startswith("strokenext."):
                yield from (one, *below(one))

    return [kind for kind in below(Answer) if not list(below(kind))]


@pytest.mark.parametrize("kind", kinds_of_answers(), ids=lambda kind: kind.__name__)
def test_every_answer_that_is_saved_says_all_of_them(kind: type[Answer], everything: Said, tmp_path: Path) -> None:
    made = everything.slice, everything.series
    answers: list[Any] = [a for r in made for a in (r.answer, r.first, r.whole, r.marks)]
    one = next((a for a in answers if type(a) is kind), None)
    assert one is not None, f"{kind.__name__} is a new answer: put one into `everything`"
    stands = in_json((one.save(tmp_path / "x") / "prediction.json").read_text(encoding="utf-8"))
    assert all(stands(said(code, OF_SLICE)) for code in CODES)

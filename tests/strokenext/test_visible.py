"""Names from outside: what a terminal, a log or a reader would be fooled by is shown as its escape."""

from __future__ import annotations

import pickle

import pytest

from strokenext import errors
from strokenext.__main__ import main
from strokenext.io.read import describe
from strokenext.visible import visible
from tests.helpers.dicom_files import SECRETS, ct, to_bytes

#: A colour, an erased line, a forged line, a bell, C1, bidi override and isolate, a mark, a line separator, no text.
HOSTILE = ("\x1b[31m", "\r", "\n", "\x07", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028", "\udc80", "\x00", "\ufeff")


@pytest.mark.parametrize("character", HOSTILE)
def test_what_shows_nothing_is_escaped(character):
    text = f"head{character}scan.dcm"
    shown = visible(text)
    assert shown.isprintable()
    assert "\\" in shown
    assert shown.startswith("head")
    assert str(errors.InputError(text)) == shown
    assert str(pickle.loads(pickle.dumps(errors.DamagedFileError(text)))) == shown


@pytest.mark.parametrize("name", ["Müller_Schädel.dcm", "頭部CT.dcm", "می\u200cروم.dcm", "a b (1).dcm", "ДТ-3.dcm"])
def test_names_of_every_script_stay(name):
    assert visible(name) == name


def test_the_command_line_prints_no_control_character(tmp_path, capsys):
    """A missing file, a damaged one, one left out, and the table on standard output."""
    name = "a\x1b[2Jb\u202eg\nc\x9b.dcm"
    (tmp_path / name).write_bytes(b"no image")
    for arguments in (
        ["info", str(tmp_path / name)],
        ["info", str(tmp_path / f"missing{name}")],
        ["predict", str(tmp_path / name), str(tmp_path / f"missing{name}"), "--csv", "-"],
        ["predict", str(tmp_path / name), "--json", "-"],
    ):
        assert main(arguments) != 0
        said = "".join(capsys.readouterr())
        assert "\x1b[2J" not in said
        assert all(line.isprintable() for line in said.replace("\r\n", "\n").replace("\r", "\n").split("\n")), said
        if arguments[0] == "predict":
            assert "\\x1b[2Jb\\u202eg\\nc\\x9b.dcm" in said.replace("\\u001b", "\\x1b").replace("\\u009b", "\\x9b")


#: Elements with free text, or with codes in which people write free text.
TYPED = (
    "BodyPartExamined", "Modality", "ImageType", "WindowCenterWidthExplanation", "RescaleType", "Manufacturer",
    "ConvolutionKernel", "ProtocolName", "StudyID", "PhotometricInterpretation", "ContrastBolusAgent",
    "BurnedInAnnotation", "PatientPosition", "StationName", "DerivationDescription", "LossyImageCompression",
    *SECRETS,
)  # fmt: skip


@pytest.mark.parametrize("keyword", TYPED)
@pytest.mark.parametrize("value", ["DOEJOHN", "DOE JOHN", "DOE^JOHN", "DOE-1944"])
def test_info_prints_no_value_that_may_name_the_patient(keyword, value, recwarn):
    several = keyword in {"ImageType", "WindowCenterWidthExplanation"}
    data = to_bytes(ct(**{keyword: ["ORIGINAL", value] if several else value}))
    try:
        said = str(describe(data))
    except errors.InputError as error:
        said = str(error)
    for secret in ("DOE", "JOHN", "1944", *SECRETS.values()):
        assert secret not in said


def test_info_prints_the_terms_of_the_standard():
    terms = {"Modality": "CT", "BodyPartExamined": "TEMPORAL BONE",
             "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
             "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"]}  # fmt: skip
    facts = describe(to_bytes(ct(**terms)))
    assert facts["modality"] == "CT"
    assert facts["body_part"] == "TEMPORAL BONE"
    assert facts["image_type"] == terms["ImageType"]
    assert [w["name"] for w in facts["windows"]] == ["WINDOW1", "WINDOW2"]

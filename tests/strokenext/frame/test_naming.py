"""What a case is called: one line that shows what it holds, and a name that every file system takes."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strokenext.frame.naming import MOST, case_label, case_title, file_stem, readable
from strokenext.types import Label

LABEL = Label("CT Kopf nativ", "Axial 5.0 H31s", "2024-05-03", 5.0)


def test_a_label_holds_what_there_is_once() -> None:
    assert case_label(LABEL, "/home/me/CT7.zip") == "CT7.zip · CT Kopf nativ · Axial 5.0 H31s · 5 mm · 2024-05-03"
    assert case_label(None, "C:\\scans\\IM0001") == "IM0001"
    assert case_label(Label("Head", "Head"), "") == "Head"
    assert case_label(None) == ""


def test_one_of_several_series_says_which_also_behind_a_long_name() -> None:
    assert case_label(Label("Head"), "/home/me/CT7.zip", 2) == "CT7.zip, series 2 · Head"
    assert case_label(None, "a" * 80 + ".zip", 12).endswith(".zip, series 12")
    assert len(case_label(None, "a" * 80 + ".zip", 12)) == MOST
    assert case_label(Label("Head"), "", 2) == "Head"


def test_a_title_falls_back_to_the_checksum() -> None:
    assert case_title(LABEL, "ab" * 32, "Case 3") == "Case 3"
    assert case_title(LABEL, "ab" * 32).startswith("CT Kopf")
    assert case_title(None, "ab" * 32) == "Input abababababab"


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("exe\u202egnp.zip", "exe\\u202egnp.zip"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("wide\u3000space\u00a0", "wide space"),
        ("Müller Жанна 漢字", "Müller Жанна 漢字"),
        ("<script>", "<script>"),  # escaping is the page's task, which knows where it writes
    ],
)
def test_invisible_characters_are_written_out(hostile: str, shown: str) -> None:
    assert readable(hostile) == shown


def test_what_is_too_long_loses_its_middle() -> None:
    """Names of one folder often differ at the end alone, and their beginning says what they are."""
    names = [f"CT head without contrast, second follow-up after surgery, reading room 3, {n} of 12" for n in (1, 2)]
    first, second = (readable(name) for name in names)
    assert first != second
    assert len(first) == 48
    assert first.startswith("CT head without contrast")
    assert first.endswith("1 of 12")
    assert readable("x" * 10**7).count("…") >= 1
    assert file_stem(names[0]) != file_stem(names[1])


@given(st.text(max_size=300))
def test_any_name_is_one_visible_line(text: str) -> None:
    line = readable(text)
    assert len(line) <= 48
    assert all(unicodedata.category(c)[0] not in "CZ" or c == " " for c in line)


@pytest.mark.parametrize(
    ("given_", "stem"),
    [
        ("CT7.zip · Kopf Müller/../etc", "CT7.zip-Kopf-Muller-..-etc"),
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "case"),
        ("aux.dcm", "case"),
        ("漢字", "case"),
        ("", "case"),
        (".hidden", "hidden"),
        ("a" * 300, f"{'a' * 39}-{'a' * 20}"),
    ],
)
def test_a_stem_suits_every_file_system(given_: str, stem: str) -> None:
    assert file_stem(given_) == stem


@given(st.text(max_size=300))
def test_any_text_gives_a_safe_stem(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,59}", file_stem(text))

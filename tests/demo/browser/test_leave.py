"""The reader is asked before a page or a case is left on which a judgement would be lost, and only then."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from tests.helpers import several_series
from tests.helpers.browsing import NEEDS_CHROMIUM, Tab
from tests.helpers.places import EXAMPLES

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM


def asked(tab: Tab) -> bool:
    """Whether leaving the page asks first; the reader then stays."""
    questions: list[str] = []

    def stay(dialog: sync_api.Dialog) -> None:
        questions.append(dialog.type)
        dialog.dismiss()

    tab.page.once("dialog", stay)
    tab.page.evaluate("setTimeout(() => location.assign('about:blank'), 0)")
    tab.page.wait_for_timeout(700)
    tab.page.remove_listener("dialog", stay) if not questions else None
    assert set(questions) <= {"beforeunload"}
    assert questions or tab.page.url == "about:blank"
    return bool(questions)


def save(tab: Tab, kind: str) -> None:
    with tab.page.expect_download():
        tab.page.click(f"button[data-kind={kind}]")
    tab.page.wait_for_selector(".t-status:has-text('in your downloads')")


def test_a_comment_is_asked_about_until_it_is_taken_away(tab):
    tab.example("hemorrhage-dcm")
    tab.page.fill(".t-comment textarea", "Calcified.")
    assert asked(tab)
    save(tab, "png")  # holds no comment
    assert asked(tab)
    save(tab, "json")
    tab.page.fill(".t-comment textarea", "Calcified?")
    assert asked(tab)
    save(tab, "html")
    assert not asked(tab)


def test_a_comment_on_a_slice_that_was_left_still_counts(tab):
    tab.example("series_hemorrhage-zip")
    tab.page.check(".t-opinion input[value='Disagree']")
    tab.page.keyboard.press("Tab")
    tab.page.click(".v-next")
    tab.page.wait_for_selector(".t-opinion input:not(:checked)")
    assert asked(tab)
    save(tab, "json")  # of this slice, on which nothing was written
    assert asked(tab)
    tab.page.click(".v-prev")
    tab.page.wait_for_selector(".snx-takeaway:not([hidden])")
    save(tab, "zip")
    assert not asked(tab)


def test_a_reading_before_the_model_s_answer_is_asked_about(tab):
    tab.page.check("#reader-first input")
    tab.example("normal-dcm", wait="#commit-form")
    tab.page.check("input[value='Cannot tell']")
    assert asked(tab)
    tab.page.click("#commit")
    tab.page.wait_for_selector(".a-number")
    assert asked(tab)
    save(tab, "html")
    assert not asked(tab)


def test_who_has_judged_nothing_or_took_it_back_is_not_asked(tab):
    tab.example("hemorrhage-dcm")
    tab.page.fill(".t-comment textarea", "Calcified.")
    tab.page.fill(".t-comment textarea", " ")
    assert not asked(tab)


WAYS = {
    "close": lambda tab: tab.page.click("#close"),
    "example": lambda tab: tab.page.click("#example-normal-dcm"),
    "file": lambda tab: tab.page.set_input_files("#files input[type=file]", str(EXAMPLES / "normal.dcm")),
    "drop": lambda tab: drop(tab, EXAMPLES / "normal.dcm"),
}


def drop(tab: Tab, path: Path) -> None:
    tab.page.evaluate(
        """([data, name]) => { const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
        for (const kind of ['dragenter', 'dragover', 'drop'])
          document.querySelector('.v-stage').dispatchEvent(
            new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true })); }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )


def judged(tab: Tab) -> str:
    """A case on which the reader has written something; its key."""
    tab.example("hemorrhage-dcm")
    tab.page.fill(".t-comment textarea", "Calcified.")
    return open_case(tab)


def open_case(tab: Tab) -> str:
    return tab.page.evaluate("window.StrokeNeXt.page.case")


def another(tab: Tab, case: str) -> None:
    """Wait for another case than that one: the dialog ends a moment after the click, until then the old one stands."""
    tab.page.wait_for_function(
        """(before) => { const { case: now } = window.StrokeNeXt.page;
        return now && now !== before && document.body.dataset.phase === 'shown'; }""",
        arg=case,
        timeout=60_000,
    )


@pytest.mark.parametrize("way", WAYS)
def test_another_case_or_none_is_asked_about_and_to_stay_loses_nothing(tab, way):
    case = judged(tab)
    WAYS[way](tab)
    dialog = tab.page.get_by_role("alertdialog", name="Your judgement is not saved")
    sync_api.expect(dialog).to_be_visible()
    sync_api.expect(dialog).to_have_accessible_description(re.compile("in none of your downloads.*it is discarded"))
    sync_api.expect(tab.page.get_by_role("button", name="Stay with this case")).to_be_focused()
    tab.page.keyboard.press("ArrowDown")  # keys of the viewer do nothing meanwhile
    tab.page.keyboard.press("Escape")
    assert dialog.is_hidden()
    WAYS[way](tab)
    sync_api.expect(dialog).to_be_visible()
    tab.page.keyboard.press("Enter")  # on the button that has the focus
    assert dialog.is_hidden()
    tab.page.wait_for_timeout(300)
    assert open_case(tab) == case
    assert tab.page.input_value(".t-comment textarea") == "Calcified."
    assert tab.page.is_visible(".a-number")


@pytest.mark.parametrize("way", WAYS)
def test_another_case_or_none_comes_when_the_reader_says_so_by_key(tab, way):
    case = judged(tab)
    WAYS[way](tab)
    tab.page.keyboard.press("Tab")
    sync_api.expect(tab.page.get_by_role("button", name="Discard it and go on")).to_be_focused()
    tab.page.keyboard.press("Enter")
    if way == "close":
        tab.page.wait_for_selector("body[data-phase=empty]")
    else:
        another(tab, case)
        tab.shown()
        assert tab.page.input_value(".t-comment textarea") == ""
    assert not tab.page.is_visible("#unsaved")
    assert not asked(tab)  # with the case its judgements have gone


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_asked_where_nothing_is_unsaved(tab, way):
    case = judged(tab)
    save(tab, "json")
    WAYS[way](tab)
    assert not tab.page.is_visible("#unsaved")
    tab.page.wait_for_function("(before) => window.StrokeNeXt.page.case !== before", arg=case)


def test_a_click_opens_what_was_wanted_last_when_the_reader_goes_on(tab):
    """Something is dropped while the question stands."""
    case = judged(tab)
    WAYS["close"](tab)
    WAYS["drop"](tab)
    tab.page.click("#unsaved [value=leave]")
    another(tab, case)
    tab.page.wait_for_selector(".v-tl:has-text('normal.dcm')")


def test_another_series_is_asked_about_too(tab, tmp_path):
    tab.upload(several_series.several(tmp_path / "a.zip"))
    tab.page.wait_for_selector("body[data-phase=shown], body[data-phase=refused]")
    tab.page.fill(".t-comment textarea", "Calcified.")
    case = open_case(tab)
    tab.page.click("[data-number='2']")
    tab.page.keyboard.press("Escape")
    assert open_case(tab) == case
    assert tab.page.locator(".series-row[aria-current=true]").get_attribute("data-number") == "3"
    assert tab.page.evaluate("document.activeElement.dataset.number") == "2"
    tab.page.click("[data-number='2']")
    tab.page.click("#unsaved [value=leave]")
    another(tab, case)
    assert tab.page.locator(".series-row[aria-current=true]").get_attribute("data-number") == "2"

"""The browser asks before a page is left on which a judgement of the reader would be lost, and only then."""

from __future__ import annotations

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab

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


def test_with_the_case_its_judgements_go(tab):
    tab.example("hemorrhage-dcm")
    tab.page.fill(".t-comment textarea", "Calcified.")
    tab.page.click("#close")
    tab.page.wait_for_selector("body[data-phase=empty]")
    assert not asked(tab)

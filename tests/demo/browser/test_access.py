"""Readers who do not see or do not point: axe on every state of the page, what is said aloud, the curve by keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab
from tests.helpers.places import ROOT

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM

AXE = (ROOT / "tests" / "static" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
RUN = """() => axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`)))"""
#: Writes down every change of the regions that are read aloud.
LISTEN = """() => { window.heard = [];
  for (const box of document.querySelectorAll('[role=status], [role=alert], [aria-live]')) {
    new MutationObserver(() => box.textContent.trim() && window.heard.push(box.textContent.trim()))
      .observe(box, { childList: true, characterData: true, subtree: true }); } }"""


def violations(page) -> list[str]:
    """What axe finds against the page as it is, every rule of it."""
    page.evaluate(AXE)
    return page.evaluate(RUN)


@pytest.fixture(scope="module", params=["dark", "light"])
def open_page(request, browser, site):
    tab = Tab(browser, site[0], color_scheme=request.param, bypass_csp=True)
    yield tab
    tab.close()


def test_axe_finds_nothing_on_the_empty_page(open_page):
    assert violations(open_page.page) == []


def test_axe_finds_nothing_on_a_slice_and_a_series(open_page):
    open_page.example("hemorrhage-dcm")
    assert violations(open_page.page) == []
    open_page.example("series_hemorrhage-zip")
    open_page.page.wait_for_selector(".v-curve svg")
    open_page.page.evaluate("document.querySelectorAll('details').forEach((more) => (more.open = true))")
    open_page.page.click("[data-value=swipe]")
    open_page.page.wait_for_selector(".v-divider")
    assert violations(open_page.page) == []
    open_page.page.click("[data-value=overlay]")


def test_axe_finds_nothing_on_the_list_of_keys_and_on_reader_first(open_page):
    open_page.page.click(".v-keys-on")
    assert violations(open_page.page) == []
    open_page.page.keyboard.press("Escape")
    open_page.page.check("#reader-first input")
    open_page.example("normal-dcm", wait="#commit-form")
    assert violations(open_page.page) == []
    open_page.page.uncheck("#reader-first input")


def test_axe_finds_nothing_on_the_question_before_a_judgement_is_lost(open_page):
    open_page.example("hemorrhage-dcm")
    open_page.page.fill(".t-comment textarea", "Calcified.")
    open_page.page.click("#close")
    assert open_page.page.get_by_role("alertdialog").is_visible()
    assert violations(open_page.page) == []
    open_page.page.click("#unsaved [value=leave]")
    open_page.page.wait_for_selector("body[data-phase=empty]")


def test_axe_finds_nothing_on_a_tablet(browser, site):
    tab = Tab(browser, site[0], (768, 1024), bypass_csp=True)
    tab.example("series_hemorrhage-zip")
    assert violations(tab.page) == []
    tab.close()


@pytest.mark.parametrize("example", ["hemorrhage-dcm", "series_hemorrhage-zip"])
def test_axe_finds_nothing_on_the_report(tab, browser, example):
    tab.example(example)
    with tab.page.expect_download() as saved:
        tab.page.click("button[data-kind=html]")
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.set_content(Path(saved.value.path()).read_text(encoding="utf-8"))
    found = violations(page)
    context.close()
    assert found == []


def test_an_answer_is_said_once_and_progress_not_at_all(tab):
    tab.page.evaluate(LISTEN)
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_timeout(600)  # longer than two looks at the server
    heard = tab.page.evaluate("heard")
    answers = [said for said in heard if "probability of stroke" in said]
    assert len(answers) == 1, heard
    assert "Stroke on slice" in answers[0]
    assert tab.text(".a-number b") in answers[0]
    assert tab.text('[data-of="slice"] .a-decision >> nth=0') in answers[0]
    assert not [said for said in heard if "looking at slice" in said]


def test_of_another_slice_only_its_own_answer_is_said(tab):
    tab.example("series_hemorrhage-zip")
    tab.page.evaluate(LISTEN)
    tab.page.keyboard.press("Home")
    tab.page.wait_for_selector("h2:has-text('slice 1')")
    heard = tab.page.evaluate("heard")
    assert heard[0] == "Slice 1 of 16"
    assert len(heard) == 2, heard
    assert heard[1].startswith("Stroke on slice 1:")
    tab.page.mouse.move(500, 300)
    tab.page.mouse.move(520, 320)
    assert tab.page.evaluate("heard.length") == 2  # the mouse reads values without a voice


def test_an_error_is_an_alert(tab, tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("no picture")
    tab.page.evaluate(LISTEN)
    tab.upload(path, wait=".a-error")
    assert tab.page.inner_text("#alarm") == tab.text(".a-error")
    assert tab.page.evaluate("heard").count(tab.text(".a-error")) == 1


def test_the_curve_is_a_slider_over_the_slices(tab):
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_selector(".v-curve svg")
    curve = tab.page.get_by_role("slider", name="Probability of stroke, slice by slice")
    curve.focus()
    for key, number in (("Home", 1), ("ArrowRight", 2), ("PageUp", 7), ("ArrowLeft", 6), ("End", 16)):
        tab.page.keyboard.press(key)
        assert tab.text(".v-counter") == f"{number} / 16"
        assert curve.get_attribute("aria-valuenow") == str(number)
        assert tab.text(".c-hint").startswith(f"Slice {number}: ")
        assert curve.get_attribute("aria-valuetext") == tab.text(".c-hint").replace(": ", " of 16, ", 1)
        assert tab.page.evaluate("document.activeElement.className") == "v-curve"
    values = tab.page.evaluate("StrokeNeXt.viewer.state.curve.points.map((point) => point.p)")
    tab.page.keyboard.press("PageDown")
    assert f"{round(values[10] * 100)} %" in curve.get_attribute("aria-valuetext")
    tab.page.wait_for_selector("h2:has-text('slice 11')")
    assert tab.page.evaluate("document.activeElement.className") == "v-curve"  # the answer takes no focus away


def test_every_control_has_a_name_of_its_own(tab):
    tab.example("series_hemorrhage-zip")
    names = tab.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, textarea, [role=slider], [tabindex="0"]')]
        .filter((e) => e.checkVisibility() && e.type !== 'radio').map((e) => (e.getAttribute('aria-label')
          || [...(e.labels || [])].map((label) => label.textContent).join(' ') || e.textContent || e.title).trim())"""
    )
    assert "" not in names
    windows = [name for name in names if name.startswith("File")]  # a file may state a window twice
    assert len(set(names)) >= len(names) - len(windows)

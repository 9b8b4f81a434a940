"""What a clinician reads names no part of a network; who wants the terms is a click away from them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM
from tests.helpers.places import EXAMPLES, ROOT

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM

TERMS = re.compile(r"logit|log-odds|encoder|\batto\b|grad-?cam|softmax|sha-?256|tensor|weights|float32", re.IGNORECASE)
#: All that is written on the page where nothing was opened by a click, with what is read aloud.
WRITTEN = """() => { const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const parent = walk.currentNode.parentElement;
    if (parent.checkVisibility() && !['SCRIPT', 'STYLE', 'OPTION'].includes(parent.tagName))
      found.push(walk.currentNode.data); }
  for (const e of document.querySelectorAll('[aria-label], [title]'))
    if (e.checkVisibility()) found.push(e.ariaLabel || '', e.title);
  return found.map((words) => words.trim()).filter(Boolean); }"""


def terms(lines: list[str]) -> list[str]:
    return [line for line in lines if TERMS.search(line)]


@pytest.mark.parametrize("example", ["hemorrhage-dcm", "series_hemorrhage-zip", "hemorrhage-png"])
def test_no_term_of_networks_is_on_the_page(tab, example):
    assert terms(tab.page.evaluate(WRITTEN)) == []
    tab.example(example)
    lines = tab.page.evaluate(WRITTEN)
    assert len(lines) > 50
    assert terms(lines) == []


def test_the_terms_are_a_click_away(tab):
    tab.example("hemorrhage-dcm")
    tab.page.click(".v-technical summary")
    assert re.search(r"100 % is [\d.]+ logits; this slice reaches [\d.]+\.", tab.text(".v-scale-says"))
    assert "encoder A and encoder B" in tab.text(".v-technical")
    tab.page.click("#answer details:has(th) > summary")
    assert "Grad-CAM, 6 × 6 cells; peak" in tab.text("#answer table")
    assert "Raw logit" in tab.text("#answer table")
    tab.page.click(".s-state summary")
    assert "(presence and type)" in tab.text(".s-state")
    tab.page.click("#tuning summary")
    assert tab.page.is_visible("#method")


def test_no_term_is_on_the_report_but_a_click_away_and_on_paper(tab, browser):
    tab.example("hemorrhage-dcm")
    with tab.page.expect_download() as saved:
        tab.page.click("button[data-kind=html]")
    context = browser.new_context()
    page = context.new_page()
    page.set_content(Path(saved.value.path()).read_text(encoding="utf-8"))
    assert "of the colour scale" in page.inner_text("body")
    assert terms(page.evaluate(WRITTEN)) == []
    page.click("summary:has-text('Technical') >> nth=0")
    assert "logits" in page.inner_text("details[open]")
    page.click("summary:has-text('Technical') >> nth=0")
    page.emulate_media(media="print")
    assert any("logits" in line for line in page.evaluate(WRITTEN))
    context.close()


def test_no_term_is_in_the_printed_line():
    command = [sys.executable, "-m", "strokenext", "predict", str(EXAMPLES / "hemorrhage.dcm"), "--device", "cpu"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "stroke" in said.stdout
    assert terms([said.stdout]) == []

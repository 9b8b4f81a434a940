"""Evidence on the stage glows as its answer says: off where it was decided against, until the reader asks for it."""

from __future__ import annotations

from demo.page import text
from tests.helpers.browsing import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM
#: How much the pixels of the stage differ from the plain slice.
GLOW = """() => { const s = window.StrokeNeXt.viewer.stage; s.compose();
  const read = (c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  const [plain, mixed] = [read(s.layers.base), read(s.layers.mixed)];
  return plain.reduce((sum, v, i) => sum + Math.abs(v - mixed[i]), 0); }"""


def ask(tab, **change: object) -> None:
    """The slice judged by another rule."""
    tab.page.evaluate("(change) => window.StrokeNeXt.page.ask(change)", change)
    tab.page.wait_for_function("window.StrokeNeXt.page.answered")
    tab.shown()


def decision(tab) -> str:
    return tab.page.get_attribute('[data-of="slice"] .a-card', "data-decision")


def test_it_is_as_faint_as_the_answer_is_weak(tab):
    page = tab.page
    tab.example("normal-dcm")
    assert decision(tab) == "non-stroke"
    assert page.evaluate(GLOW) == 0
    assert not page.is_visible(".v-legend")
    assert page.get_attribute(".v-heat-on", "aria-pressed") == "false"
    assert tab.text(".v-heat-says") == text.EVIDENCE_OFF
    assert "evidence" not in page.get_attribute(".v-canvas", "aria-label")
    tab.example("hemorrhage-dcm")
    assert decision(tab) == "stroke"
    whole = page.evaluate(GLOW)
    assert whole > 0
    assert page.is_visible(".v-legend")
    assert page.get_attribute(".v-heat-on", "aria-pressed") == "true"
    assert tab.text(".v-heat-says") == ""
    assert "with the model's evidence" in page.get_attribute(".v-canvas", "aria-label")
    ask(tab, threshold=0.97)
    assert decision(tab) == "indeterminate"
    assert 0 < page.evaluate(GLOW) < whole
    assert tab.text(".v-heat-says") == text.EVIDENCE_FAINT


def test_who_asks_sees_it_on_this_case_alone(tab):
    page = tab.page
    tab.example("normal-dcm")
    page.keyboard.press("h")
    assert page.evaluate(GLOW) > 0
    assert page.get_attribute(".v-heat-on", "aria-pressed") == "true"
    page.click(".v-heat-on")
    assert page.evaluate(GLOW) == 0
    tab.example("hemorrhage-dcm")
    assert page.evaluate(GLOW) > 0  # another case begins anew
    page.click(".v-heat-on")
    assert page.evaluate(GLOW) == 0
    ask(tab, method="gradcam++")
    assert page.evaluate(GLOW) == 0  # asked away stays away


def test_nothing_is_said_of_the_evidence_of_another_slice(tab):
    tab.example("hemorrhage-dcm")
    ask(tab, threshold=0.97)
    tab.example("series_hemorrhage-zip")
    assert tab.text(".v-heat-says") == ""
    ask(tab, threshold=0.97)
    said = tab.text(".v-heat-says")
    assert said == text.EVIDENCE_FAINT
    tab.page.evaluate("window.StrokeNeXt.viewer.show(window.StrokeNeXt.page.index - 1)")
    assert tab.text(".v-heat-says") == ""


def test_it_goes_with_the_answer_when_a_judgement_is_cancelled(tab):
    """By another threshold, which the answer had been waiting for in its place."""
    tab.example("hemorrhage-dcm")
    assert tab.page.get_attribute(".snx-viewer", "data-heat") == "yes"
    seen = tab.page.evaluate(
        """() => { const page = window.StrokeNeXt.page, box = document.querySelector('.snx-viewer');
        page.ask({ threshold: 0.5 });
        const waiting = [box.dataset.heat, Boolean(document.querySelector('#answer .a-number'))];
        page.cancel();
        return [waiting, [box.dataset.heat, Boolean(document.querySelector('#answer .a-number'))]]; }"""
    )
    assert seen == [["yes", True], ["no", False]]
    tab.page.click("#again")
    tab.page.wait_for_selector('.snx-viewer[data-heat="yes"]')
    assert tab.page.is_visible(".a-number")

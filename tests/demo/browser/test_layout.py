"""How large the picture is on the screens of a reading room, a tablet and a phone, that nothing moves it, and that what
a reader has to know can be read there."""

from __future__ import annotations

import re

import pytest

from tests.helpers import several_series
from tests.helpers.browsing import NEEDS_CHROMIUM, Tab

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from demo.page import text

pytestmark = NEEDS_CHROMIUM

#: The screen, and the least side of a square picture on it in CSS pixels: alone, and as a series with its curve.
SCREENS = {
    (1366, 768): (610, 575),
    (1366, 657): (560, 460),
    (1024, 768): (520, 490),
    (768, 1024): (720, 720),
    (820, 1180): (770, 770),
    (390, 844): (345, 345),
}
#: Parts of the page of which none may lie over another.
PARTS = "#bar, #open, #series, #examples, #manner, .v-picture, .v-tools fieldset, .v-keys-on, #side, #privacy"
OVERLAPS = """(parts) => {
  const boxes = [...document.querySelectorAll(parts)].filter((e) => e.checkVisibility())
    .map((e) => [e.id || e.className, e.getBoundingClientRect()]).filter(([, b]) => b.width && b.height);
  const before = (a, b) => a.right <= b.left + 1 || a.bottom <= b.top + 1;
  return boxes.flatMap(([m, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => !before(a, b) && !before(b, a)).map(([n]) => `${m} / ${n}`)); }"""
#: Whether a part is seen where it stands, once it is scrolled to: within the screen, and nothing lies over it.
SEEN = """(e) => { e.scrollIntoView({ block: 'center' });
  const b = e.getBoundingClientRect(), top = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);
  return b.width > 0 && b.left >= 0 && b.right <= innerWidth && (e.contains(top) || Boolean(top?.contains(e))); }"""


@pytest.fixture(scope="module", params=SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def screen(request, browser, site):
    """A page of that size, and the sizes that its picture has to have."""
    tab = Tab(browser, site[0], request.param, has_touch=request.param[0] < 1100)
    yield tab, request.param, SCREENS[request.param]
    tab.close()


def stage(tab: Tab) -> dict[str, float]:
    return tab.page.locator(".v-stage").bounding_box()


def test_the_stage_is_as_large_as_the_screen_allows(screen):
    tab, (width, height), (alone, series) = screen
    tab.example("hemorrhage-dcm")
    box = stage(tab)
    assert min(box["width"], box["height"]) >= alone
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] + box["height"] <= height  # all of it is seen without scrolling
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_selector(".v-curve svg")
    box, curve = stage(tab), tab.page.locator(".v-curve").bounding_box()
    assert min(box["width"], box["height"]) >= series
    assert curve["y"] + curve["height"] <= height
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_tool_moves_the_picture(screen):
    tab, *_ = screen
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_selector(".v-curve svg")
    before = stage(tab)
    tab.page.click(".v-technical summary")
    assert tab.page.is_visible("[data-value=B]")
    tab.page.click("[data-value=swipe]")
    tab.page.click("[data-value=overlay]")
    tab.page.evaluate(
        "document.querySelector('.v-windows').append(...document.querySelector('.v-windows').cloneNode(true).children)"
    )
    tab.page.evaluate("scrollTo(0, 0)")
    assert stage(tab) == before
    tab.page.click(".v-technical summary")


def test_every_tool_can_be_reached_and_nothing_is_cut(screen):
    tab, (width, _), _ = screen
    tab.example("series_hemorrhage-zip")
    cut = tab.page.evaluate(
        """() => [...document.querySelectorAll('.snx-viewer button, #side button, #rail button, #rail .button')]
        .filter((b) => b.checkVisibility())
        .filter((b) => b.getBoundingClientRect().right > innerWidth || b.scrollWidth > b.clientWidth + 1)
        .map((b) => b.textContent)"""
    )
    assert cut == []
    assert tab.page.is_visible(".notice")
    tab.page.locator(".v-keys-on").scroll_into_view_if_needed()
    box = tab.page.locator(".v-keys-on").bounding_box()
    assert 0 <= box["x"] <= width - box["width"]
    tab.page.evaluate("scrollTo(0, 0)")


def test_what_a_reader_has_to_know_before_opening_is_there(screen):
    """What the page is for, what can be opened, that examples are no patients, what Reader first does, what is kept."""
    tab, *_ = screen
    tab.page.click("#close") if tab.page.is_enabled("#close") else None
    tab.page.wait_for_selector("body[data-phase=empty]")
    for sentence in (text.TAGLINE, text.OPEN_HINT, text.EXAMPLES_NOTE, text.READER_FIRST_INFO):
        assert tab.page.get_by_text(sentence, exact=True).evaluate(SEEN), sentence
    for selector in ("#privacy p", ".notice", "#folder", "#close", "#reader-first input"):
        assert tab.page.locator(selector).evaluate(SEEN), selector


def test_no_part_lies_over_another(screen, tmp_path):
    tab, (width, height), _ = screen
    upright = height > width
    parts = PARTS if upright else "#bar, #open, #series, #examples, #manner, #centre, #side"
    if width > 1080:
        parts = "#bar, #rail, #centre, #side"  # the rail has a scroll bar of its own
    for show in (
        lambda: tab.example("series_hemorrhage-zip"),
        lambda: tab.upload(several_series.several(tmp_path / "a.zip")),
    ):
        show()
        tab.page.wait_for_selector("body[data-phase=shown], body[data-phase=refused]")
        assert tab.page.evaluate(OVERLAPS, parts) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    if upright:
        for row in tab.page.locator(".series-row").all():
            assert row.evaluate(SEEN)
    (word,) = tab.page.locator(".series-name em:visible").all()
    assert word.bounding_box()["height"] < 24  # "Open" on one line


def test_upright_the_answer_stands_below_picture_and_windows_and_above_the_other_tools(browser, site):
    tab = Tab(browser, site[0], (820, 1180), has_touch=True)
    tab.example("series_hemorrhage-zip")
    tops = [tab.page.locator(part).bounding_box()["y"] for part in
            (".v-picture", ".v-window", "#answer", ".snx-takeaway", ".v-zoom", "#privacy")]  # fmt: skip
    assert tops == sorted(tops)
    tab.close()


def contrast(one: str, other: str) -> float:
    """The contrast of two CSS colours, 1 to 21 (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_said_on_the_stage_can_be_read(browser, site, tmp_path, scheme):
    tab = Tab(browser, site[0], color_scheme=scheme)
    tab.upload(several_series.two_studies(tmp_path / "two.zip"), wait="body[data-phase=choosing]")
    assert tab.page.is_visible(".v-busy")
    tab.page.evaluate("for (const e of document.querySelectorAll('.v-line, .v-cancel')) e.hidden = false")
    for part in (".v-busy-text", ".v-cancel", ".v-line", ".v-empty"):
        colour, ground = tab.page.evaluate(
            """(part) => { const e = document.querySelector(part), clear = 'rgba(0, 0, 0, 0)'; let below = e;
            while (getComputedStyle(below).backgroundColor === clear) below = below.parentElement;
            return [getComputedStyle(e).color, getComputedStyle(below).backgroundColor]; }""",
            part,
        )
        assert contrast(colour, ground) >= 4.5, part
    tab.close()


def test_fingers_get_larger_buttons(browser, site):
    tab = Tab(browser, site[0], (1024, 768), has_touch=True, is_mobile=True)
    tab.example("hemorrhage-dcm")
    sizes = tab.page.evaluate(
        "[...document.querySelectorAll('.v-tools button')].filter((b) => b.offsetParent).map((b) => b.offsetHeight)"
    )
    assert min(sizes) >= 32
    tab.close()


def ground(tab: Tab, selector: str) -> int:
    """Mean of the background's three channels, 0..255."""
    colour = tab.page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).backgroundColor.match(/\\d+/g)")
    return sum(map(int, colour[:3])) // 3


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_the_page_follows_the_reader_s_system_and_the_stage_stays_dark(browser, site, scheme, bright):
    tab = Tab(browser, site[0], color_scheme=scheme)
    assert (ground(tab, "body") > 200) is bright
    assert (ground(tab, "#open") > 200) is bright
    assert ground(tab, ".v-stage") == 0
    tab.page.emulate_media(color_scheme="dark" if bright else "light")  # evening comes while the page is open
    assert (ground(tab, "body") > 200) is not bright
    tab.close()


def test_high_contrast_still_shows_what_is_chosen_and_the_curve(browser, site):
    tab = Tab(browser, site[0], forced_colors="active")
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_selector(".v-curve svg")
    assert ground(tab, "[data-value=overlay]") != ground(tab, "[data-value=slice]")
    assert ground(tab, ".v-stage") == 0
    fill = "getComputedStyle(document.querySelector('.v-curve {}')).fill"
    assert tab.page.evaluate(fill.format(".c-over")) != tab.page.evaluate(fill.format(".c-bar:not(.c-over)"))
    tab.close()

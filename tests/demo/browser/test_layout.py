"""How large the picture is on the screens of a reading room and of a tablet, and that nothing moves it."""

from __future__ import annotations

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM

#: The screen, and the least side of a square picture on it in CSS pixels: alone, and as a series with its curve.
SCREENS = {(1366, 768): (610, 575), (1366, 657): (560, 460), (1024, 768): (520, 490), (768, 1024): (720, 720)}


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

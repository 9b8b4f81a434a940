"""Wheel, trackpad, fingers and keys in real Chromium: how far each moves the picture; the browser itself stays."""

from __future__ import annotations

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM

#: A picture pixel under a point of the stage, with its parts, and the other way round.
UNDER = """([x, y]) => { const s = StrokeNeXt.viewer.stage, p = s.panes()[0];
  const [kx, ky] = s.scale(p), [cx, cy] = s.corner(p);
  return [(x - cx) / kx, (y - cy) / ky]; }"""
WHEEL = """([deltas, mode, more]) => { const stage = document.querySelector('.v-stage');
  return deltas.map((deltaY) => stage.dispatchEvent(
    new WheelEvent('wheel', { deltaY, deltaMode: mode, bubbles: true, cancelable: true, ...more }))); }"""


@pytest.fixture(scope="module")
def opened(browser, site):
    """A page with the series of 16 slices."""
    tab = Tab(browser, site[0], has_touch=True)
    tab.example("series_hemorrhage-zip")
    yield tab
    tab.close()


@pytest.fixture
def series(opened):
    """The series at its 8th slice, fitted; nothing has the focus."""
    opened.page.wait_for_timeout(200)  # another turn of the wheel
    opened.page.evaluate("() => { StrokeNeXt.viewer.controls.fit(); StrokeNeXt.viewer.controls.window(80, 40); }")
    opened.page.fill(".v-slice", "8")
    opened.page.evaluate("document.activeElement.blur()")
    opened.shown()
    return opened


def at(tab: Tab) -> int:
    return int(tab.text(".v-counter").split("/")[0])


def turned(tab: Tab, deltas: list[float], mode: int = 0, **more: object) -> int:
    """How many slices wheel events move the series from its 8th."""
    assert not any(tab.page.evaluate(WHEEL, [deltas, mode, more]))  # each was kept from the browser
    return at(tab) - 8


def middle(tab: Tab) -> tuple[float, float, float, float]:
    box = tab.page.locator(".v-stage").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


@pytest.mark.parametrize("notch", [100, 120, 67, 53])
def test_a_notch_is_a_slice_whatever_the_browser_calls_it(series, notch):
    x, y, *_ = middle(series)
    series.page.mouse.move(x + 200, y + 200)
    series.page.mouse.wheel(0, notch)
    series.page.wait_for_function("document.querySelector('.v-counter').textContent === '9 / 16'")
    series.page.wait_for_timeout(200)
    series.page.mouse.wheel(0, -notch)
    series.page.wait_for_function("document.querySelector('.v-counter').textContent === '8 / 16'")


@pytest.mark.parametrize(("delta", "mode"), [(3, 1), (1, 2), (100, 0)])
def test_lines_and_pages_count_as_notches(series, delta, mode):
    assert turned(series, [delta], mode) == 1


def test_distance_counts_and_not_the_number_of_events(series):
    assert turned(series, [9, 11] * 20) == 4  # 400 CSS pixels, 100 to a slice


def test_small_distances_are_added_up_and_a_turn_back_begins_anew(series):
    assert turned(series, [30, 31, 29]) == 0
    assert turned(series, [12]) == 1
    assert turned(series, [-30, -31, -29]) == 1
    assert turned(series, [-12]) == 0


@pytest.mark.parametrize("first", [40, 120, 400])
def test_a_flick_of_a_trackpad_moves_a_bounded_few(series, first):
    """40 events that fall by a tenth each: ten times the first distance in all."""
    moved = turned(series, [first * 0.9**i for i in range(40)])
    assert 1 <= moved <= 6


def test_after_a_flick_another_stroke_counts_again(series):
    after = turned(series, [60 * 0.9**i for i in range(30)])
    assert turned(series, [10, 40, 60, 60, 60]) > after


def test_ctrl_and_wheel_zooms_at_the_pointer_and_never_the_page(series):
    x, y, *_ = middle(series)
    before = series.page.evaluate(UNDER, [300, 250])
    for more in ({"ctrlKey": True}, {"metaKey": True}):
        moved = turned(series, [-100, -4, -4], 0, clientX=x + 300, clientY=y + 250, **more)
        assert moved == 0
    assert series.page.evaluate(UNDER, [300, 250]) == pytest.approx(before, abs=0.01)
    assert series.page.evaluate("StrokeNeXt.viewer.state.zoom") > 1.3
    assert series.page.evaluate("visualViewport.scale") == 1


def test_a_wheel_on_an_empty_stage_leaves_the_page_its_letters(tab):
    stopped = tab.page.evaluate(WHEEL, [[-100], 0, {"ctrlKey": True}])
    assert stopped == [False]


@pytest.mark.parametrize("mode", ["overlay", "side"])
def test_keys_zoom_where_the_mouse_is_also_in_the_second_pane(series, mode):
    series.page.click(f"[data-value={mode}]")
    x, y, width, height = middle(series)
    series.page.mouse.move(x + 0.8 * width, y + 0.3 * height)
    point = "StrokeNeXt.viewer.stage.pixelAt(...StrokeNeXt.viewer.controls.pointer)"
    before = series.page.evaluate(point)
    for _ in range(3):
        series.page.keyboard.press("+")
    after = series.page.evaluate(point)
    assert before == pytest.approx(after, abs=1)
    assert series.page.evaluate("StrokeNeXt.viewer.state.zoom") == pytest.approx(1.25**3)
    series.page.click("[data-value=overlay]")


def touch(tab: Tab, frames: list[list[tuple[float, float]]]) -> None:
    """Fingers on the stage, a frame after another, in CSS pixels of the stage."""
    x, y, *_ = middle(tab)
    line = tab.page.context.new_cdp_session(tab.page)
    for number, fingers in enumerate(frames):
        points = [{"x": x + fx, "y": y + fy, "id": i} for i, (fx, fy) in enumerate(fingers)]
        kind = "touchStart" if number == 0 else "touchMove"
        line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    line.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    line.detach()


def test_one_finger_turns_the_slices_there_and_back(series):
    down = [[(300, 100 + 10 * i)] for i in range(21)]
    touch(series, down)
    turned_by = at(series) - 8
    assert 3 <= turned_by <= 8
    touch(series, down[::-1])
    assert at(series) == 8
    assert series.page.evaluate("[StrokeNeXt.viewer.state.zoom, ...StrokeNeXt.viewer.state.pan]") == [1, 0, 0]


def test_two_fingers_zoom_between_them_and_move_the_picture(series):
    before = series.page.evaluate(UNDER, [300, 200])
    apart = [[(300 - 30 - 6 * i, 200), (300 + 30 + 6 * i, 200)] for i in range(11)]
    touch(series, apart)
    assert at(series) == 8
    assert series.page.evaluate("StrokeNeXt.viewer.state.zoom") == pytest.approx(3, rel=0.05)
    assert series.page.evaluate(UNDER, [300, 200]) == pytest.approx(before, abs=4)
    touch(series, [[(250, 200 + 5 * i), (350, 200 + 5 * i)] for i in range(11)])
    assert series.page.evaluate(UNDER, [300, 250]) == pytest.approx(before, abs=6)
    assert series.page.evaluate("visualViewport.scale") == 1


def test_keys_work_without_a_click_on_the_stage(series):
    assert series.page.evaluate("document.activeElement === document.body")
    for key, slice_number in (("ArrowDown", 9), ("ArrowUp", 8), ("PageDown", 13), ("Home", 1), ("End", 16)):
        series.page.keyboard.press(key)
        assert at(series) == slice_number
        assert series.page.inner_text(".v-said") == f"Slice {slice_number} of 16"
    series.page.keyboard.press("5")
    assert series.text(".v-tr") == "W 400  L 40"
    series.page.keyboard.press("1")


def test_keys_work_while_a_button_elsewhere_has_the_focus(series):
    series.page.focus("#example-normal-dcm")
    series.page.keyboard.press("ArrowDown")
    assert at(series) == 9


def test_keys_leave_alone_who_types_who_chooses_and_the_browser(series):
    series.page.fill(".t-comment textarea", "")
    series.page.type(".t-comment textarea", "dew 0 5?")
    series.page.keyboard.press("ArrowUp")
    assert series.page.input_value(".t-comment textarea") == "dew 0 5?"
    assert series.page.get_attribute("[data-value=overlay]", "aria-checked") == "true"
    series.page.fill(".t-comment textarea", "")
    series.page.focus(".v-level")
    series.page.keyboard.press("ArrowUp")  # the field counts up, the slice stays
    series.page.focus(".t-opinion input")
    series.page.keyboard.press("ArrowDown")
    assert at(series) == 8
    assert not series.page.is_visible(".v-keys")
    ours = series.page.evaluate(
        """() => ['d', '5', 'ArrowLeft', 'w', '-'].filter((key) => {
          const held = key === 'ArrowLeft' ? { altKey: true } : { ctrlKey: true };
          const event = new KeyboardEvent('keydown', { key, ...held, bubbles: true, cancelable: true });
          return !document.body.dispatchEvent(event); })"""
    )
    assert ours == []


def test_the_question_mark_lists_the_keys_and_nothing_moves_behind_the_list(series):
    series.page.keyboard.press("?")
    series.page.wait_for_selector(".v-keys[open]")
    assert "PageDown" in series.text(".v-keys")
    series.page.keyboard.press("ArrowDown")
    series.page.keyboard.press("5")
    assert at(series) == 8
    assert series.text(".v-tr") == "W 80  L 40"
    series.page.keyboard.press("Escape")
    assert not series.page.is_visible(".v-keys")
    series.page.keyboard.press("ArrowDown")
    assert at(series) == 9


def test_keys_can_be_kept_to_the_picture_for_those_who_dictate(series):
    series.page.click(".v-keys-on")
    series.page.uncheck(".v-keys input")
    series.page.click(".v-keys-close")
    series.page.evaluate("document.activeElement.blur()")
    series.page.keyboard.press("ArrowDown")
    assert at(series) == 8
    series.page.focus(".v-stage")
    series.page.keyboard.press("ArrowDown")
    assert at(series) == 9
    series.page.click(".v-keys-on")
    series.page.check(".v-keys input")
    series.page.click(".v-keys-close")

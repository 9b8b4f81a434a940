"""Several series in what was opened, in real Chromium: the list, its keys, and that nothing of two series is mixed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import several_series as made
from tests.helpers.tiny_models import save_pair

pytest.importorskip("gradio")
pytest.importorskip("pydicom")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
#: What is on the screen: the list as its reader sees it, and the open picture.
LOOK = """() => {
  const p = window.StrokeNeXt.page, s = window.StrokeNeXt.viewer.state, find = (q) => document.querySelector(q);
  const rows = [...document.querySelectorAll('.series-row')];
  return {
    phase: document.body.dataset.phase, case: p.case, count: s.count, shown: find('#series').offsetParent !== null,
    rows: rows.map((row) => row.innerText), buttons: rows.filter((row) => row.tagName === 'BUTTON').length,
    open: rows.flatMap((row) => (row.getAttribute('aria-current') === 'true' ? [Number(row.dataset.number)] : [])),
    headings: [...document.querySelectorAll('.series-rows h3')].map((h) => h.innerText),
    lead: find('.series-lead').innerText, left: find('.series-left ul').textContent, panel: find('#answer').innerText,
    stage: find('.v-busy').offsetParent ? find('.v-busy-text').textContent : null,
    air: s.picture && s.picture.values[0] * s.picture.scale,
    focus: document.activeElement?.dataset?.number ?? null, takeaway: find('.snx-takeaway').offsetParent !== null,
  }; }"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Any]]]:
    """The address of the app, whose steps take up to half a second, and the images it was asked to judge."""
    from tests.helpers.sites import slow_site

    judged: list[Any] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patched.setenv("STROKENEXT_ASSETS", str(save_pair(tmp_path_factory.mktemp("assets"))))
        with slow_site.running(0.5, 3) as (address, service):
            predict = service.predict

            def noted(source: Any, *arguments: Any, **more: Any) -> Any:
                judged.append(source)
                return predict(source, *arguments, **more)

            service.predict = noted  # type: ignore[method-assign]
            yield address, judged


@pytest.fixture
def page(site: tuple[str, list[Any]]) -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(site[0])
        page.wait_for_selector(".s-ready", timeout=180_000)
        yield page
        assert not errors
        browser.close()


def opened(page: Any, path: Path, phase: str = "") -> dict[str, Any]:
    page.set_input_files("#files input[type=file]", str(path))
    return rested(page, phase)


def rested(page: Any, phase: str = "") -> dict[str, Any]:
    """What is on the screen once the server works no longer, with the picture, where there is one."""
    wanted = f"['{phase}']" if phase else "['shown', 'refused', 'failed']"
    page.wait_for_function(
        f"""() => {wanted}.includes(document.body.dataset.phase)
        && (!window.StrokeNeXt.page.case || window.StrokeNeXt.viewer.state.picture)"""
    )
    return page.evaluate(LOOK)


def test_the_others_are_offered_and_open_by_key_and_mouse(page: Any, tmp_path: Path) -> None:
    seen = opened(page, made.several(tmp_path / "a.zip"))
    assert seen["shown"]
    assert seen["buttons"] == 3
    assert (seen["open"], seen["count"]) == ([3], 5)
    for words, row in zip(("sharp (bone) kernel", "with contrast medium", "soft-tissue"), seen["rows"], strict=True):
        assert words in row
        assert "5 mm" in row
    assert "1 file" in seen["left"]
    soft = seen["air"]
    page.focus("[data-number='2']")
    page.keyboard.press("Enter")
    at_once = page.evaluate(LOOK)
    assert at_once["phase"] == "opening"
    assert at_once["open"] == [2]
    assert at_once["case"] is None
    assert at_once["air"] is None
    assert not at_once["takeaway"]
    assert at_once["focus"] == "2"
    seen = rested(page)
    assert (seen["open"], seen["count"], seen["air"], seen["focus"]) == ([2], 6, soft + 7, "2")
    assert "Contrast" in seen["panel"] or "contrast" in seen["panel"]
    page.click("[data-number='1']")
    seen = rested(page)
    assert (seen["open"], seen["count"], seen["air"]) == ([1], 6, soft + 3)


def test_the_series_chosen_last_is_the_one_that_stays(page: Any, tmp_path: Path) -> None:
    """Each choice ends the work of the one before, however far that was."""
    soft = opened(page, made.several(tmp_path / "a.zip"))["air"]
    for pause, numbers in ((0, (1, 2, 3)), (300, (3, 1)), (900, (2, 1, 2))):
        for number in numbers:
            page.click(f"[data-number='{number}']")
            page.wait_for_timeout(pause)
        seen = rested(page)
        expected = {1: soft + 3, 2: soft + 7, 3: soft}[numbers[-1]]
        assert (seen["open"], seen["air"]) == ([numbers[-1]], expected)


def test_of_two_studies_none_is_judged_before_the_reader_chooses(
    page: Any, site: tuple[str, list[Any]], tmp_path: Path
) -> None:
    site[1].clear()
    seen = opened(page, made.two_studies(tmp_path / "two.zip"), "choosing")
    page.wait_for_timeout(1000)
    seen = page.evaluate(LOOK)
    assert seen["phase"] == "choosing"
    assert site[1] == []
    assert (seen["case"], seen["air"], seen["count"], seen["open"]) == (None, None, 0, [])
    assert seen["headings"] == ["Study 1", "Study 2"]
    for said in (seen["panel"], seen["lead"], seen["stage"]):
        assert "judged" in said
    assert "2 patients" in seen["panel"]
    counts = {}
    for number in (1, 2):
        page.click(f"[data-number='{number}']")
        seen = rested(page)
        counts[number] = (seen["open"], seen["count"])
        assert f"this is about study {number} only" in seen["panel"]
    assert sorted(counts.values()) == [([1], 6), ([2], 5)]


def test_an_opening_that_is_cancelled_leaves_the_list_to_choose_again(page: Any, tmp_path: Path) -> None:
    opened(page, made.two_studies(tmp_path / "two.zip"), "choosing")
    page.click("[data-number='1']")
    page.evaluate("document.querySelector('#cancel').click()")
    seen = page.evaluate(LOOK)
    assert (seen["phase"], seen["open"], seen["buttons"]) == ("empty", [], 2)
    page.click("[data-number='2']")
    assert rested(page)["open"] == [2]
    page.click("#close")
    assert not page.evaluate(LOOK)["shown"]


def test_the_list_goes_with_the_next_upload(page: Any, tmp_path: Path) -> None:
    opened(page, made.several(tmp_path / "a.zip"))
    page.click("#example-normal-dcm")
    assert not page.evaluate(LOOK)["shown"]
    assert not rested(page)["shown"]

"""Several series in what was opened, in real Chromium: the list, its keys, and that nothing of two series is mixed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers import several_series as made
from tests.helpers.tiny_models import save_pair

pytest.importorskip("gradio")
pytest.importorskip("pydicom")

from demo import presence
from demo.page import app as pages
from demo.service import Service
from demo.storage.uploads import Uploads

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


class Site(NamedTuple):
    """The address of the app, whose steps take up to half a second; the images it was asked to judge; what waits."""

    address: str
    judged: list[Any]
    uploads: Uploads


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    from tests.helpers.sites import slow_site

    judged: list[Any] = []
    built: list[Uploads] = []
    build = pages.build

    def noting(service: Service, uploads: Uploads) -> Any:
        built.append(uploads)
        return build(service, uploads)

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patched.setenv("STROKENEXT_ASSETS", str(save_pair(tmp_path_factory.mktemp("assets"))))
        patched.setattr(pages, "build", noting)
        with slow_site.running(0.5, 3) as (address, service):
            predict = service.predict

            def noted(source: Any, *arguments: Any, **more: Any) -> Any:
                judged.append(source)
                return predict(source, *arguments, **more)

            service.predict = noted  # type: ignore[method-assign]
            yield Site(address, judged, built[-1])


@pytest.fixture
def page(site: Site) -> Iterator[Any]:
    site.uploads.close()  # what the pages of other tests left, which have not been missed yet
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"], timeout=120_000
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(60_000)
        errors: list[str] = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(site.address)
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


def test_of_two_studies_none_is_judged_before_the_reader_chooses(page: Any, site: Site, tmp_path: Path) -> None:
    site.judged.clear()
    seen = opened(page, made.two_studies(tmp_path / "two.zip"), "choosing")
    page.wait_for_timeout(1000)
    seen = page.evaluate(LOOK)
    assert seen["phase"] == "choosing"
    assert site.judged == []
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


def test_a_list_that_a_cancelled_choice_left_can_be_closed(page: Any, site: Site, tmp_path: Path) -> None:
    assert page.is_disabled("#close")
    opened(page, made.two_studies(tmp_path / "two.zip"), "choosing")
    page.click("[data-number='1']")
    page.evaluate("document.querySelector('#cancel').click()")
    assert page.evaluate(LOOK)["shown"]
    page.click("#close")
    assert not page.evaluate(LOOK)["shown"]
    assert page.is_disabled("#close")
    until_empty(page, site)


def test_the_list_goes_with_the_next_upload(page: Any, tmp_path: Path) -> None:
    opened(page, made.several(tmp_path / "a.zip"))
    page.click("#example-normal-dcm")
    assert not page.evaluate(LOOK)["shown"]
    assert not rested(page)["shown"]


def sending(page: Any) -> tuple[list[int], list[int]]:
    """Bytes of the bodies that a page sends from now on: of its uploads, and of its calls to open something."""
    uploads: list[int] = []
    openings: list[int] = []

    def note(request: Any) -> None:
        body = request.post_data_buffer or b""
        if request.url.endswith("/upload"):
            uploads.append(int(request.header_value("content-length") or len(body)))
        elif b'"page_open"' in body:
            openings.append(len(body))

    page.on("request", note)
    return uploads, openings


def test_another_series_is_opened_without_sending_the_files_again(page: Any, site: Site, tmp_path: Path) -> None:
    path = made.several(tmp_path / "a.zip")
    uploads, openings = sending(page)
    soft = opened(page, path)["air"]
    assert len(uploads) == 1
    assert site.uploads.size == path.stat().st_size
    for number, more in ((2, 7), (1, 3), (3, 0)):
        page.click(f"[data-number='{number}']")
        seen = rested(page)
        assert (seen["open"], seen["air"]) == ([number], soft + more)
        assert f"a.zip, series {number}" in page.inner_text(".v-tl")
    assert len(uploads) == 1
    assert len(openings) == 4
    assert max(openings) < 1000 < path.stat().st_size
    page.click("#close")
    until_empty(page, site)


def until_empty(page: Any, site: Site) -> None:
    for _ in range(200):
        if not len(site.uploads):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{site.uploads.size} bytes are still kept")


def test_a_folder_is_named_once_however_many_files_it_has(page: Any, site: Site, tmp_path: Path) -> None:
    """What is sent on the second choice does not grow with what was opened."""
    tags = {"ConvolutionKernel": "H30s", "SliceThickness": 5}
    for name, data in {**made.series("a", 6, 0, **tags), **made.series("b", 6, 4, **tags)}.items():
        target = tmp_path / "scans" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    uploads, openings = sending(page)
    page.set_input_files("#folder input", str(tmp_path / "scans"))
    assert len(rested(page, "choosing")["rows"]) == 2
    page.click("[data-number='1']")
    assert rested(page)["open"] == [1]
    assert "scans, series 1" in page.inner_text(".v-tl")
    page.click("[data-number='2']")
    assert rested(page)["open"] == [2]
    assert "scans, series 2" in page.inner_text(".v-tl")
    assert (len(uploads), len(openings)) == (1, 3)
    assert max(openings[1:]) < 1000
    page.click("#example-normal-dcm")
    rested(page)
    until_empty(page, site)


def test_what_is_kept_goes_with_its_page(
    page: Any, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "GRACE_SECONDS", 0.5)
    opened(page, made.several(tmp_path / "a.zip"))
    page.wait_for_timeout(1000)
    assert len(site.uploads) == 1
    other = page.context.browser.new_page()  # another reader
    other.goto(site.address)
    other.wait_for_selector(".s-ready")
    page.close()
    until_empty(other, site)


def test_what_the_server_has_no_longer_is_sent_again_by_itself(page: Any, site: Site, tmp_path: Path) -> None:
    uploads, _ = sending(page)
    soft = opened(page, made.several(tmp_path / "a.zip"))["air"]
    site.uploads.close()  # as after minutes, or where its room was needed
    page.click("[data-number='2']")
    seen = rested(page)
    assert (seen["open"], seen["air"], len(uploads)) == ([2], soft + 7, 2)
    page.click("[data-number='1']")
    seen = rested(page)
    assert (seen["open"], seen["air"], len(uploads)) == ([1], soft + 3, 2)

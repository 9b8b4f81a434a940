"""The page in real Chromium: pictures, keys, evidence, reader-first, and nothing leaving this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import strokenext
from strokenext.overlay import colors, render
from strokenext.types import Window
from tests.helpers.browsing import NEEDS_CHROMIUM, Tab, uploaded
from tests.helpers.places import EXAMPLES

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pydicom = pytest.importorskip("pydicom")


PLANTED = ("PLANTED", "ID-77041", "19410203")
SPOT = (200, 300)  # row, column of the pixel whose HU the test sets
SPOT_HU = 61

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A DICOM without extension, with a patient's data and one pixel of known HU."""
    ds = pydicom.dcmread(EXAMPLES / "hemorrhage.dcm")
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = f"{PLANTED[0]}^NAME", PLANTED[1], PLANTED[2]
    ds.InstitutionName = f"{PLANTED[0]} Hospital"
    pixels = ds.pixel_array.copy()
    pixels[SPOT] = round((SPOT_HU - float(ds.RescaleIntercept)) / float(ds.RescaleSlope))
    ds.PixelData = pixels.tobytes()
    path = tmp_path_factory.mktemp("dicom") / "IM000001"
    ds.save_as(path)
    return path


def test_a_dicom_without_extension_is_read_shown_and_deleted_and_names_nobody(tab, site, planted):
    tab.upload(planted)
    tab.shown()
    assert re.search(r"\d+ %", tab.text(".a-number"))
    tab.point(*SPOT)
    assert tab.text(".v-probe") == f"x {SPOT[1]}  y {SPOT[0]}   {SPOT_HU} HU"
    assert not uploaded(site[1])
    sent = tab.page.content()
    for response in tab.responses:
        if "heartbeat" in response.url:
            continue
        try:
            sent += response.text()
        except sync_api.Error:  # an event stream that has gone
            continue
        except UnicodeDecodeError:  # a picture
            continue
    assert len(sent) > 100_000
    for secret in PLANTED:
        assert secret not in sent


def test_an_example_shows_its_answer_and_letters_scale_and_evidence(tab):
    tab.example("hemorrhage-dcm")
    assert "probability of stroke" in tab.text(".a-number")
    assert "Experimental" in tab.text(".snx-answer")
    assert tab.text(".v-left") == "R"
    assert tab.text(".v-top") == "A"
    assert " cm" in tab.text(".v-scale-text")
    assert tab.page.is_visible(".v-legend")
    assert tab.page.get_attribute(".snx-viewer", "data-heat") == "yes"
    assert "Research use only" in tab.text(".notice")


def test_window_keys_and_fields_change_the_pixels(tab):
    tab.example("normal-dcm")
    tab.page.focus(".v-stage")
    tab.page.keyboard.press("4")
    subdural = tab.grey()
    tab.page.keyboard.press("5")
    soft = tab.grey()
    assert soft > subdural + 20  # brain of 30 HU is 0.29 of the way through 215/75 and 0.48 through 400/40
    assert tab.text(".v-tr") == "W 400  L 40"
    tab.page.fill(".v-level", "-500")
    tab.page.press(".v-level", "Enter")
    assert tab.grey() > soft + 50
    tab.page.click(".v-windows button:has-text('subdural')")
    assert tab.grey() == pytest.approx(subdural, abs=0.01)


def test_the_browser_draws_what_the_library_draws(tab):
    """The picture through the window and the heat mixed in, pixel by pixel, against `render`."""
    tab.example("hemorrhage-dcm")
    tab.page.focus(".v-stage")
    tab.page.keyboard.press("1")
    tab.shown()
    drawn = tab.page.evaluate(
        """() => { const s = window.StrokeNeXt.viewer.stage, c = s.layers.mixed;
        const bytes = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return [Array.from(bytes), s.state.heat(), s.state.opacity * s.state.strength()]; }"""
    )
    pixels = np.array(drawn[0], np.uint8).reshape(512, 512, 4)[:, :, :3]
    message, opacity = drawn[1], drawn[2]
    heat = strokenext.Heat(
        np.array(message["maps"], np.float32).reshape(2, *message["grid"]),
        tuple(message["encoders"]),
        "stroke",
        "gradcam",
        np.array(message["affine"]).reshape(2, 3),
        message["input_size"],
        message["full_scale"],
    )
    image = strokenext.read_slice(EXAMPLES / "hemorrhage.dcm")
    wanted = render(image, heat, window=Window(80, 40), opacity=opacity, colormap="inferno")
    difference = np.abs(pixels.astype(int) - wanted)
    assert difference.mean() < 0.5
    # Where the model's square input ends the two interpolate to nothing differently, over one input pixel.
    columns, rows = np.meshgrid(np.arange(512), np.arange(512))
    u, v = heat.affine @ np.stack([columns.ravel(), rows.ravel(), np.ones(512 * 512)])
    last = heat.input_size - 1
    beyond = np.max([-u, u - last, -v, v - last], axis=0).reshape(512, 512)
    assert np.mean(difference.max(axis=2)[np.abs(beyond) > 1.5] > 3) < 0.001
    assert (pixels != render(image, window=Window(80, 40))).any()


def test_colour_tables_are_the_library_s(tab):
    for name in strokenext.COLORMAPS:
        assert tab.page.evaluate(f"Array.from(window.StrokeNeXt.luts.{name})") == colors(name).ravel().tolist()


def test_opacity_zero_and_the_plain_view_are_the_slice_itself(tab):
    tab.example("hemorrhage-dcm")
    tab.page.click("[data-value=slice]")
    plain = tab.grey()
    tab.page.click("[data-value=overlay]")
    mixed = tab.grey()
    tab.page.fill(".v-opacity", "0")
    assert tab.grey() == plain
    assert mixed != plain
    assert not tab.page.is_visible(".v-divider")
    tab.page.click("[data-value=swipe]")
    tab.page.wait_for_selector(".v-divider")  # drawn with the next frame, and so is its value
    tab.page.focus(".v-divider")
    tab.page.keyboard.press("End")
    tab.page.wait_for_selector('.v-divider[aria-valuenow="100"]')


def test_a_refused_picture_has_its_reason_no_number_until_insisted_on(tab, tmp_path):
    from PIL import Image

    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(path)
    tab.upload(path, wait=".a-reason")
    assert "Not judged" in tab.text(".snx-answer")
    assert len(tab.text(".a-reason")) > 20
    assert tab.page.locator(".a-number").count() == 0
    assert "no HU" in tab.text(".v-tr")
    assert tab.page.is_disabled(".v-windows button:has-text('brain')")
    assert "never guessed" in tab.text(".v-why")
    before = tab.grey()
    tab.page.fill(".v-brightness", "0.4")
    assert tab.grey() > before + 20
    tab.page.click("#force")
    tab.page.wait_for_selector(".a-number")
    assert "on your request" in tab.text(".a-warn")


def test_a_broken_file_gets_a_sentence_and_the_page_goes_on(tab, tmp_path):
    path = tmp_path / "broken.dcm"
    path.write_bytes((EXAMPLES / "normal.dcm").read_bytes()[:3000])
    tab.upload(path, wait=".a-error")
    assert tab.text(".a-error").endswith(".")
    assert not re.search(r"Traceback|Error|/tmp", tab.text(".a-error"))
    tab.example("normal-dcm")
    assert tab.page.locator(".a-error").count() == 0


def test_a_series_scrolls_by_wheel_keys_slider_and_curve(tab):
    tab.example("series_hemorrhage-zip")
    tab.page.wait_for_selector(".v-curve svg")
    peak = int(tab.text(".v-counter").split("/")[0])
    assert f"highest on slice {peak}" in tab.text(".a-series")
    tab.page.fill(".v-slice", "6")
    tab.shown()
    tab.page.focus(".v-stage")
    tab.page.keyboard.press("ArrowDown")
    assert tab.text(".v-counter") == "7 / 16"
    tab.page.hover(".v-stage")
    tab.page.mouse.wheel(0, 100)
    tab.page.wait_for_function("document.querySelector('.v-counter').textContent === '8 / 16'")
    tab.page.wait_for_selector("h2:has-text('slice 8')")
    tab.page.click(".v-next")
    assert tab.text(".v-counter") == "9 / 16"
    box = tab.page.locator(".v-curve svg").bounding_box()
    tab.page.mouse.click(box["x"] + box["width"] * 2.5 / 16, box["y"] + box["height"] / 2)
    assert tab.text(".v-counter") == "3 / 16"
    tab.page.wait_for_selector("h2:has-text('slice 3')")


def test_several_files_are_one_series(tab, tmp_path):
    import zipfile

    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        files = [n for n in archive.namelist() if not n.endswith("/")]
        paths = []
        for number, name in enumerate(files[:5]):
            paths.append(tmp_path / f"IM{number}")
            paths[-1].write_bytes(archive.read(name))
    tab.upload(*paths)
    assert tab.text(".v-counter").endswith("/ 5")


def test_reader_first_hides_the_answer_until_the_reader_commits(tab):
    tab.page.check("#reader-first input")
    tab.example("hemorrhage-dcm", wait="#commit-form")
    tab.page.wait_for_selector(".a-hidden")
    assert tab.page.locator(".a-number").count() == 0
    assert tab.page.get_attribute(".snx-viewer", "data-heat") == "no"
    assert not tab.page.is_visible(".snx-takeaway")
    tab.page.click("#commit")
    tab.page.wait_for_selector(".a-note:has-text('Choose your reading')")
    tab.page.check("input[value='Hemorrhagic stroke']")
    tab.page.click("#commit")
    tab.page.wait_for_selector(".a-number")
    assert "Hemorrhagic stroke" in tab.text(".snx-answer")
    assert tab.page.get_attribute(".snx-viewer", "data-heat") == "yes"


def test_a_report_with_feedback_is_downloaded_and_no_file_is_left(tab, site):
    tab.example("hemorrhage-dcm")
    tab.page.check(".t-opinion input[value='Unsure']")
    tab.page.fill(".t-comment textarea", "Motion artefact.")
    with tab.page.expect_download() as saved:
        tab.page.click("button[data-kind=json]")
    record = json.loads(Path(saved.value.path()).read_text())
    assert record["feedback"] == {"opinion": "Unsure", "comment": "Motion artefact."}
    assert record["provenance"]["model"] if "provenance" in record else record["presence"]["provenance"]["model"]
    assert not uploaded(site[1])


def test_the_threshold_slider_changes_the_decision(tab):
    tab.example("normal-dcm")
    tab.page.wait_for_selector('.a-card[data-decision="non-stroke"]')
    stated = tab.page.inner_text(".a-dim:has-text('Threshold')")
    assert f"Threshold {tab.page.input_value('#threshold input[type=number]')}, " in stated
    tab.page.fill("#threshold input[type=number]", "0.05")  # the probability, 0.06, is then inside the band
    tab.page.keyboard.press("Tab")
    tab.page.wait_for_selector('.a-card[data-decision="indeterminate"]')
    tab.page.click("#stored")
    tab.page.wait_for_selector(".a-dim:has-text('Threshold')")


def test_everything_is_reached_by_the_tab_key_with_a_visible_focus(tab):
    tab.example("hemorrhage-dcm")
    reached = set()
    tab.page.evaluate("document.body.focus()")
    for _ in range(70):
        tab.page.keyboard.press("Tab")
        found = tab.page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            return [e.id || e.className || e.dataset.value || e.tagName, e.closest('#rail,#centre,#side')?.id || '',
            e === document.body || (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2)]; }"""
        )
        reached.add((str(found[0]), found[1]))
        assert found[2] or "file" in str(found[0]).lower(), found
    names = " ".join(name for name, _ in reached)
    for wanted in ("v-stage", "v-opacity", "v-colours", "v-fit", "example-hemorrhage-dcm", "close"):
        assert wanted in names
    assert {"rail", "centre", "side"} <= {area for _, area in reached}


@pytest.mark.parametrize("size", [(1366, 768), (820, 1180)])
def test_laptop_and_tablet_show_all_without_scrolling_sideways(browser, site, size):
    tab = Tab(browser, site[0], size)
    tab.example("series_hemorrhage-zip")
    width = tab.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
    cut = tab.page.evaluate(
        """() => [...document.querySelectorAll('.snx-viewer button, #side button, #rail button')]
        .filter((b) => b.offsetParent)
        .filter((b) => b.getBoundingClientRect().right > innerWidth || b.scrollWidth > b.clientWidth + 1)
        .map((b) => b.textContent)"""
    )
    assert cut == []
    assert tab.page.is_visible(".notice")
    tab.close()


def test_every_picture_and_control_has_a_name(tab):
    tab.example("series_hemorrhage-zip")
    nameless = tab.page.evaluate(
        """() => [...document.querySelectorAll('canvas, img, svg[role=img], button, input, select, textarea')]
        .filter((e) => e.offsetParent && !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim()
          || e.title || e.alt || e.getAttribute('aria-labelledby') || e.closest('label')))
        .map((e) => e.outerHTML.slice(0, 160))"""
    )
    assert nameless == []


def test_motion_stops_for_those_who_asked(browser, site):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(site[0])
    page.wait_for_selector(".s-state")
    assert page.evaluate("getComputedStyle(document.querySelector('.s-state'), '::before').animationName") == "none"
    context.close()


def test_two_pages_do_not_see_each_other(browser, site):
    one, two = Tab(browser, site[0]), Tab(browser, site[0])
    one.example("hemorrhage-dcm")
    two.example("series_hemorrhage-zip")
    assert one.page.get_attribute(".snx-viewer", "data-index") == "0"
    assert not one.page.is_visible(".v-series")
    assert two.page.is_visible(".v-series")
    one.close()
    two.close()

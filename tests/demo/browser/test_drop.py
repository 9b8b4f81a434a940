"""Files and folders dropped on the picture, from the system as a reader would."""

from __future__ import annotations

import zipfile

import pytest

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab
from tests.helpers.places import EXAMPLES

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = NEEDS_CHROMIUM


def drag(tab: Tab, kinds: list[str], selector: str, *paths: object) -> None:
    """Drag files of the system over a part of the page; the last of `kinds` may be "drop"."""
    box = tab.page.locator(selector).bounding_box()
    line = tab.page.context.new_cdp_session(tab.page)
    for kind in kinds:
        line.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": box["x"] + box["width"] / 2,
                "y": box["y"] + box["height"] / 2,
                "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
            },
        )
    line.detach()


@pytest.fixture
def folder(tmp_path):
    """A disc: three slices in a folder in a folder, and a letter beside them."""
    deep = tmp_path / "disc" / "DICOM" / "S1"
    deep.mkdir(parents=True)
    with zipfile.ZipFile(EXAMPLES / "series_hemorrhage.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        for number, name in enumerate(names[5:8]):
            (deep / f"IM{number}").write_bytes(archive.read(name))
    (tmp_path / "disc" / "README.TXT").write_text("A disc of pictures.")
    return tmp_path / "disc"


@pytest.mark.parametrize("where", [".v-stage", "#side", "#files"])
def test_a_file_dropped_anywhere_is_opened_in_place_of_what_was_there(tab, where):
    tab.example("hemorrhage-dcm")
    drag(tab, ["dragEnter", "dragOver", "drop"], where, EXAMPLES / "series_hemorrhage.zip")
    tab.page.wait_for_selector("#answer h2:has-text('on slice')", timeout=60_000)
    assert tab.text(".v-counter").endswith("/ 16")
    assert not tab.page.is_visible(".v-drop")
    assert tab.page.url.startswith("http://")  # the browser did not leave for the file


def test_a_folder_is_opened_with_all_that_is_in_it(tab, folder):
    drag(tab, ["dragEnter", "dragOver", "drop"], ".v-stage", folder)
    tab.page.wait_for_selector("#answer h2:has-text('on slice')", timeout=60_000)
    assert tab.text(".v-counter").endswith("/ 3")


def test_several_files_and_a_folder_at_once_are_one_upload(tab, folder):
    loose = folder.parent / "IM9"
    loose.write_bytes((folder / "DICOM" / "S1" / "IM0").read_bytes())
    (folder / "DICOM" / "S1" / "IM0").unlink()
    drag(tab, ["dragEnter", "dragOver", "drop"], ".v-stage", loose, folder)
    tab.page.wait_for_selector("#answer h2:has-text('on slice')", timeout=60_000)
    assert tab.text(".v-counter").endswith("/ 3")


def test_the_target_is_seen_while_files_are_above_it_and_goes_with_them(tab):
    assert not tab.page.is_visible(".v-drop")
    drag(tab, ["dragEnter", "dragOver"], "#rail", EXAMPLES / "normal.dcm")
    assert tab.page.is_visible(".v-drop")
    assert "Drop" in tab.text(".v-drop")
    drag(tab, ["dragCancel"], "#rail", EXAMPLES / "normal.dcm")
    tab.page.wait_for_selector(".v-drop", state="hidden", timeout=3000)
    assert tab.page.get_attribute("body", "data-phase") == "empty"


def test_an_empty_folder_has_its_sentence(tab, tmp_path):
    (tmp_path / "nothing").mkdir()
    drag(tab, ["dragEnter", "dragOver", "drop"], ".v-stage", tmp_path / "nothing")
    tab.page.wait_for_selector(".a-error")
    assert tab.text(".a-error") == "What was dropped could not be read. Drop files, a folder or a zip."


def test_words_that_are_dragged_are_left_alone(tab):
    stopped = tab.page.evaluate(
        """() => { const words = new DataTransfer(); words.setData('text/plain', 'a word');
        return !document.body.dispatchEvent(
          new DragEvent('dragover', { dataTransfer: words, bubbles: true, cancelable: true })); }"""
    )
    assert not stopped
    assert not tab.page.is_visible(".v-drop")

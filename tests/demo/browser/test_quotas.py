"""What a reader sees when there is no room for a file: why, what to do, and that it then works. In real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.routing import Mount

from tests.helpers import several_series as made
from tests.helpers.browsing import NEEDS_CHROMIUM, Tab
from tests.helpers.places import EXAMPLES
from tests.helpers.sites.live_site import serving
from tests.helpers.tiny_models import pair

pytest.importorskip("gradio")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from demo.settings import MEBI, Settings
from demo.storage.uploads import Uploads

pytestmark = NEEDS_CHROMIUM
#: One reader may have one upload of the largest size, and all together hardly more.
LITTLE = Settings(device="cpu", max_upload=3 * MEBI, max_stored_each=3 * MEBI, max_stored=4 * MEBI, uploads_each=3)
HALF = MEBI + MEBI // 4  # bytes
#: Sends files as the page would, and opens none: what is left when the line breaks between the two.
SEND = """async ([sizes, key]) => {
  const replies = [];
  for (const size of sizes) {
    const form = new FormData();
    form.append('files', new File([new Uint8Array(size)], 'x'));
    const root = window.gradio_config.root + window.gradio_config.api_prefix;
    const reply = await fetch(`${root}/upload`, {
      method: 'POST', body: form, headers: key ? { 'X-StrokeNeXt-Page': key } : {} });
    replies.push(reply.status);
  }
  return replies; }"""


class Site(NamedTuple):
    address: str
    uploads: Uploads


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with little room, and what waits there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("STROKENEXT_ASSETS", str(pair()))
        with serving(LITTLE) as live:
            door: Any = next(route.app for route in live.app.routes if isinstance(route, Mount))
            yield Site(f"http://127.0.0.1:{live.port}/", door.uploads)


@pytest.fixture
def reader(browser: Any, little: Site) -> Iterator[Tab]:
    little.uploads.close()
    tab = Tab(browser, little.address)
    yield tab
    tab.errors = [said for said in tab.errors if "Failed to load resource" not in said]  # the refusal, in the console
    tab.close()


def left(tab: Tab, *sizes: int, own: bool = True) -> None:
    """Files that were sent, by this page or another reader, and are not opened."""
    key = tab.page.evaluate("window.StrokeNeXt.page.tab") if own else ""
    assert tab.page.evaluate(SEND, [list(sizes), key]) == [200] * len(sizes)


def refused(tab: Tab, path: Path) -> str:
    """What is said where a file is not taken; nothing of a case is on the page, and it is said aloud."""
    tab.page.set_input_files("#files input[type=file]", str(path))
    tab.page.wait_for_selector("body[data-phase=failed]")
    sentence = tab.text(".a-error")
    assert tab.page.text_content("#alarm") == sentence
    assert tab.page.evaluate("window.StrokeNeXt.page.case") is None
    assert not tab.page.is_visible(".v-busy")
    assert not tab.page.is_visible("#cancel")
    return sentence


def opens(tab: Tab, path: Path) -> None:
    tab.page.set_input_files("#files input[type=file]", str(path))
    tab.page.wait_for_selector("body[data-phase=shown], body[data-phase=refused]", timeout=60_000)
    tab.shown()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upload of three series that fits once."""
    path = made.several(tmp_path_factory.mktemp("large") / "large.zip")
    assert 2 * MEBI < path.stat().st_size < 3 * MEBI
    return path


def test_one_s_own_files_take_all_the_room(reader: Tab, little: Site, large: Path) -> None:
    opens(reader, EXAMPLES / "normal.dcm")
    left(reader, MEBI)
    said = refused(reader, large)
    assert said == (
        "Files you have sent and not opened take all of the 3 MiB that one reader may have here. "
        "Wait 3 minutes, then send this again."
    )
    opens(reader, EXAMPLES / "normal.dcm")  # a small one still has room
    little.uploads.close()  # the three minutes are over
    opens(reader, large)


def test_one_has_sent_too_many_uploads(reader: Tab, little: Site) -> None:
    left(reader, 10, 10, 10)
    said = refused(reader, EXAMPLES / "normal.dcm")
    assert said.startswith(
        "3 of your uploads wait to be opened, the most that one reader may have here. Wait 3 minutes"
    )
    little.uploads.close()
    opens(reader, EXAMPLES / "normal.dcm")


def test_other_readers_take_all_the_room(reader: Tab, little: Site, large: Path) -> None:
    left(reader, HALF, HALF, own=False)
    said = refused(reader, large)
    assert said == "The files of other readers take all the room at the moment. Try again in a minute."
    reader.example("normal-dcm")  # an example needs none
    little.uploads.close()
    opens(reader, large)


def test_the_file_is_larger_than_any_may_be(reader: Tab, tmp_path: Path) -> None:
    path = tmp_path / "huge.zip"
    path.write_bytes(bytes(4 * MEBI))
    assert refused(reader, path) == "The file is too large: this service takes at most 3 MiB at a time."
    opens(reader, EXAMPLES / "normal.dcm")


def test_the_server_s_disk_is_full(reader: Tab, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    said = refused(reader, large)
    assert said.startswith("The disk of this server is full, so the file was not taken. Ask whoever runs it")
    monkeypatch.undo()
    opens(reader, large)


def test_what_is_only_kept_for_another_choice_refuses_nothing(reader: Tab, little: Site, large: Path) -> None:
    """The quota holds, and the reader who opens the next large upload hears nothing of it."""
    opens(reader, large)
    assert little.uploads.size == large.stat().st_size
    opens(reader, large)
    assert little.uploads.size == large.stat().st_size
    left(reader, HALF, HALF, own=False)
    assert little.uploads.size == 2 * HALF
    little.uploads.close()
    reader.page.click("[data-number='2']")  # its files have gone, and go again by themselves
    reader.page.wait_for_selector("body[data-phase=shown], body[data-phase=refused]", timeout=60_000)
    assert "series 2" in reader.text(".v-tl")


@pytest.mark.parametrize("status", [413, 502])
def test_a_proxy_that_refuses_is_not_taken_for_a_lost_line(reader: Tab, status: int) -> None:
    page = "<html><h1>Refused</h1></html>"
    reader.page.route("**/upload", lambda r: r.fulfill(status=status, content_type="text/html", body=page))
    said = refused(reader, EXAMPLES / "normal.dcm")
    assert f"something between this page and the server refused it (HTTP {status})" in said
    assert "ask whoever runs the server" in said
    reader.page.unroute("**/upload")
    reader.page.set_input_files("#files input[type=file]", str(EXAMPLES / "normal.dcm"))
    reader.page.wait_for_selector("body[data-phase=shown]")

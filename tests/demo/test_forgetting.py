"""What is held in memory, for how long, and that nothing of it is reachable from what a visitor is served."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Iterator
from types import FunctionType, MethodType, ModuleType

import numpy as np
import pytest

from tests.helpers.places import EXAMPLES

pytest.importorskip("gradio")

from demo import presence, server
from demo import service as services
from demo.cancel import Cancel
from demo.door import Door
from demo.page import app as pages
from demo.presence import AWAY_SECONDS, GRACE_SECONDS
from demo.sessions import Case, CaseStore, ExpiredError
from demo.settings import Settings, parse
from strokenext.types import Slice
from tests.helpers.tiny_models import pair

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MINUTE = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Canary(Case):
    """A case that counts how often it is copied."""

    copies = 0

    def __deepcopy__(self, _memo: object) -> Canary:
        type(self).copies += 1
        return self


def case(kind: type[Case] = Case, side: int = 16) -> Case:
    return kind((Slice(np.zeros((side, side), np.float32), "HU"),), "DICOM")


@pytest.fixture
def held(monkeypatch) -> Iterator[tuple[object, CaseStore]]:
    """The mounted app and the store behind its page."""
    stores: list[CaseStore] = []

    class Kept(CaseStore):
        def __init__(self, *arguments: object, **more: object) -> None:
            super().__init__(*arguments, **more)  # type: ignore[arg-type]
            stores.append(self)

    monkeypatch.setattr(pages, "CaseStore", Kept)
    monkeypatch.setenv("STROKENEXT_ASSETS", str(pair()))
    app, service = server.build(Settings(device="cpu", port=0))
    service.start()
    assert service.wait(120).status == "ready"
    yield app, stores[0]
    service.stop()


class TestStore:
    def test_a_closed_page_s_case_is_gone_within_a_minute_and_its_reader_is_told(self):
        clock = Clock()
        store = CaseStore(clock=clock)
        key, other = store.add(case(), "a"), store.add(case(), "b")
        store.left("a")
        clock.now += GRACE_SECONDS - 1
        store.sweep()
        assert store.get(key)  # a short break of the line is no closed tab
        clock.now += 1 + services.KEEPER_SECONDS
        store.sweep()
        with pytest.raises(ExpiredError, match="closed, asleep or offline") as told:
            store.get(key)
        assert told.value.http_status == 410
        assert store.get(other)
        assert GRACE_SECONDS + services.KEEPER_SECONDS < MINUTE

    def test_a_page_that_is_back_after_a_short_break_keeps_its_case(self):
        clock = Clock()
        store = CaseStore(clock=clock)
        key = store.add(case(), "a")
        store.left("a")
        clock.now += GRACE_SECONDS / 2
        store.alive("a", key)
        clock.now += GRACE_SECONDS
        store.sweep()
        assert store.get(key)

    def test_a_page_that_is_not_heard_of_loses_its_case_and_learns_it_when_it_wakes(self):
        clock, gone = Clock(), list[str]()
        store = CaseStore(clock=clock, gone=gone.append)
        key = store.add(case(), "sleeper")
        for _ in range(5):
            clock.now += MINUTE  # a hidden tab, slowed down by its browser
            store.alive("sleeper", key)
            store.sweep()
        assert len(store) == 1
        clock.now += AWAY_SECONDS
        store.sweep()
        assert len(store) == 0
        assert gone == ["sleeper"]
        with pytest.raises(ExpiredError, match="closed, asleep or offline"):
            store.alive("sleeper", key)

    def test_an_idle_case_goes_although_its_page_is_open(self):
        clock = Clock()
        store = CaseStore(idle=10 * MINUTE, clock=clock)
        key = store.add(case(), "a")
        for _ in range(10):
            clock.now += MINUTE
            store.alive("a", key)
        clock.now += 1
        with pytest.raises(ExpiredError, match="not used for 10 minutes"):
            store.alive("a", key)
        assert len(store) == 0

    def test_bytes_are_bounded_over_all_readers_and_the_one_who_loses_is_told(self):
        clock = Clock()
        store = CaseStore(limit=5000, clock=clock)
        keys = []
        for number in range(6):
            clock.now += 1
            keys.append(store.add(case(), f"reader {number}"))  # 1024 bytes each
            assert store.size <= 5000
        assert store.get(keys[-1])
        with pytest.raises(ExpiredError, match="unused for the longest"):
            store.get(keys[0])
        store.change(keys[2], lambda c: Case((*c.images, *case(side=24).images), c.title))
        assert store.size <= 5000

    def test_evidence_counts_and_what_is_held_twice_counts_once(self):
        pixels = Slice(np.zeros((8, 8), np.float32), "HU")
        twice = Case((pixels, pixels), "DICOM", answers={(0, services.Options()): np.zeros(25)})  # type: ignore[dict-item]
        assert twice.size == 8 * 8 * 4 + 25 * 8

    def test_work_of_a_page_that_leaves_is_cancelled_at_once(self):
        store, cancel, other = CaseStore(), Cancel(), Cancel()
        with store.working("a", cancel), store.working("b", other):
            store.left("a")
            assert cancel.cancelled
            assert not other.cancelled

    def test_work_of_a_page_that_is_not_heard_of_is_cancelled(self):
        clock, cancel = Clock(), Cancel()
        store = CaseStore(clock=clock)
        with store.working("a", cancel):
            clock.now += AWAY_SECONDS
            store.sweep()
            assert cancel.cancelled


def test_times_and_bytes_are_settings(capsys):
    settings = parse(["--idle", "5", "--max-held", "64"], {})
    assert (settings.idle, settings.max_held) == (300, 64 * 2**20)
    assert parse([], {"STROKENEXT_IDLE": "1"}).idle == 60
    for wrong in ("--idle=0", "--idle=never", "--max-held=1"):
        with pytest.raises(SystemExit):
            parse([wrong], {})
        assert "number from" in capsys.readouterr().err


def test_the_page_says_how_long_pictures_are_kept(held):
    app, _ = held
    notices = [str(c) for c in _config(app)["components"] if "without use" in str(c)]
    assert len(notices) == 1
    assert "after 30 minutes without use" in notices[0]


def _config(app: object) -> dict:
    door = next(route.app for route in app.routes if isinstance(getattr(route, "app", None), Door))  # type: ignore[attr-defined]
    return door.app.get_blocks().get_config_file()


def test_the_config_of_the_page_holds_plain_values_and_nothing_of_a_case(held):
    app, store = held
    store.add(case(Canary))
    reached, todo = set(), [_config(app)]
    while todo:
        value = todo.pop()
        if id(value) in reached or isinstance(value, type | ModuleType | FunctionType):
            continue
        reached.add(id(value))
        assert not isinstance(value, MethodType | CaseStore | Case), value
        todo += gc.get_referents(value)
    assert len(reached) > 200


def test_a_hundred_visits_copy_no_case_and_hold_no_more_memory(held):
    from starlette.testclient import TestClient

    app, store = held
    for _ in range(3):
        store.add(case(Canary, side=256))
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def visit(count: int) -> tuple[int, int]:
            for _ in range(count):
                assert client.get("/").status_code == 200
                assert client.get("/config").status_code in (200, 404)
            gc.collect()
            return sum(isinstance(o, np.ndarray | Case) for o in gc.get_objects()), _resident()

        arrays, before = visit(20)
        more, after = visit(100)
    assert Canary.copies == 0
    assert more <= arrays + 5
    assert after - before < 40 * 2**20


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * 4096


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
@pytest.mark.flaky(reruns=2)
def test_closing_the_tab_in_a_real_browser_forgets_its_case(held, monkeypatch):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    import uvicorn

    monkeypatch.setattr(presence, "GRACE_SECONDS", 1.0)
    monkeypatch.setattr(services, "KEEPER_SECONDS", 0.2)
    app, store = held
    listener = server.open_port("127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        with sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=120_000)
            tab = browser.new_page()
            tab.goto(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=60_000)
            tab.wait_for_selector(".s-ready", timeout=120_000)
            tab.click(f"#example-{EXAMPLES.joinpath('hemorrhage.dcm').name.replace('.', '-')}")
            tab.wait_for_selector(".snx-answer", timeout=60_000)
            assert len(store) == 1
            key = tab.evaluate("window.StrokeNeXt.viewer.state.key")
            assert store.get(key)
            time.sleep(2)  # longer than the grace: an open page keeps its case
            assert len(store) == 1
            tab.close()
            end = time.monotonic() + 20
            while len(store):
                assert time.monotonic() < end, "the closed tab's case is still held"
                time.sleep(0.1)
            with pytest.raises(ExpiredError):
                store.get(key)
            browser.close()
    finally:
        running.should_exit = True
        thread.join(20)
        listener.close()

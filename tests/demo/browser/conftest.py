"""What the tests of the page in a browser share: one server for all of them, one browser for each file."""

from __future__ import annotations

import pytest

from tests.helpers import browsing


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """(address, upload folder) of `python app.py` in a process of its own."""
    with browsing.app(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("assets")) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browsing.CHROMIUM, args=browsing.FLAGS, timeout=120_000)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser, site):
    opened = browsing.Tab(browser, site[0])
    yield opened
    opened.close()

"""A page without a login in a browser: it is that browser's alone, and one that keeps no cookies reads as well."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.helpers.browsing import NEEDS_CHROMIUM, Tab

pytestmark = NEEDS_CHROMIUM


def session(tab: Tab) -> str:
    """The name that the page's script gave it."""
    return next(found.group(1) for url in tab.requests if (found := re.search(r"/heartbeat/([^/?]+)", url)))


def test_who_knows_the_name_of_a_page_may_not_ask_for_it(tab, site):
    tab.example("hemorrhage-dcm")
    (cookie,) = tab.page.context.cookies()
    assert cookie["name"].startswith("strokenext-visitor-")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    assert httpx.get(f"{site[0]}/gradio_api/heartbeat/{session(tab)}", timeout=60).status_code == 403
    tab.example("normal-dcm")  # the page itself goes on


class Forgetful:
    """A browser whose pages keep no cookies, as one in a frame of another site."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def new_page(self, **options: Any) -> Any:
        page = self.browser.new_page(**options)

        def drop(route: Any) -> None:
            reply = route.fetch()
            page.context.clear_cookies()
            route.fulfill(response=reply, headers={k: v for k, v in reply.headers.items() if k != "set-cookie"})

        page.route(re.compile(r"//[^/]+/$"), drop)
        return page


def test_a_browser_without_cookies_reads_as_well(browser, site):
    tab = Tab(Forgetful(browser), site[0])
    assert tab.page.context.cookies() == []
    tab.example("hemorrhage-dcm")
    tab.example("normal-dcm")
    assert tab.page.context.cookies() == []
    tab.close()

"""The page: parts and wiring only. Sentences are in `text`, actions in `handlers`, looks in `theme`.

Gradio mounts the parts and carries the browser's calls. What is on the screen has one owner in the browser
(static/state.js) and one on the server (`tabs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import gradio as gr

from demo.service import Service
from demo.sessions import CaseStore
from demo.settings import Settings
from demo.storage.uploads import Uploads
from strokenext import METHODS

from . import examples, takeaway, text, theme, viewer
from .handlers import Handlers
from .viewer import STATIC

#: (seconds between sweeps, seconds a file may live) of Gradio's own cache, should an upload ever be left there.
DELETE_CACHE = (600, 1800)
#: Runs once in the browser when the page is there.
ON_LOAD = """() => {
  document.documentElement.lang = 'en';
  const day = matchMedia('(prefers-color-scheme: light)');
  const dress = () => document.body.classList.toggle('dark', !day.matches);
  day.addEventListener('change', dress);
  dress();
}"""
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}


def build(service: Service, uploads: Uploads) -> gr.Blocks:
    """The Blocks of the page on one service, opening those uploads; mount them with `page_options()`."""
    settings = service.settings

    def gone(session: str) -> None:
        handlers.gone(session)
        uploads.leave(session)
        forget_session(page, session)

    store = CaseStore(settings.max_held, idle=settings.idle, gone=gone)
    service.regularly(store.sweep)
    service.regularly(uploads.sweep)
    handlers = Handlers(service, store, uploads)
    uploads.session_of = handlers.tabs.session_of
    with gr.Blocks(title=text.TITLE, analytics_enabled=False, fill_width=True, delete_cache=DELETE_CACHE) as page:
        _parts(page, handlers, _privacy(settings))
    page.queue(max_size=settings.queue + settings.workers, api_open=False)
    return page


def forget_session(page: gr.Blocks, owner: str) -> None:
    """Let go of what Gradio keeps of a page that has gone: the last messages and answers it was sent."""
    holder = getattr(page, "state_holder", None)  # there once the page is mounted
    if holder is not None:
        with holder.lock:
            holder.session_data.pop(owner, None)
            holder.time_last_used.pop(owner, None)


def page_options() -> dict[str, Any]:
    """Arguments for `gradio.mount_gradio_app` that belong to the page: its looks, and all that must be off."""
    return {
        "theme": theme.theme(),
        "js": ON_LOAD,
        "head": theme.head(),
        "favicon_path": str(viewer.STATIC / "favicon.svg"),
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "footer_links": [],
        "allowed_paths": [],
    }


def _privacy(settings: Settings) -> str:
    """For how long what a reader opens is kept."""
    return text.NOTICE_LONG.format(minutes=settings.idle / 60, wait=round(settings.upload_seconds / 60, 1))


def _parts(page: gr.Blocks, handlers: Handlers, privacy: str) -> None:
    clock = gr.Timer(0.8)
    with gr.Row(elem_id="bar"):
        gr.HTML(theme.brand(), elem_id="brand", apply_default_css=False, js_on_load=None)
        status = gr.HTML("", elem_id="status", apply_default_css=False, js_on_load=None)
    with gr.Row(elem_id="desk"):
        with gr.Column(elem_id="rail"):
            _part("rail", _rail(privacy))
        with gr.Column(elem_id="centre"):
            names = ("open", "ask", "stop", "close", "look", "pixels")
            centre = viewer.component([_call(f"page_{name}", getattr(handlers, name)) for name in names])
        with gr.Column(elem_id="side"):
            _part("side", _side())
            takeaway.component(handlers.shown)
    centre.hello(handlers.hello, outputs=centre, **QUIET)
    tick: dict[str, Any] = {"outputs": [status, clock]} | QUIET
    clock.tick(handlers.status, **tick)
    page.load(handlers.status, **tick)
    _unload(page, handlers.left)


def _call(name: str, action: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function that the browser may call by that name; a bound method of ours would be copied into the config."""

    def call(request: dict[str, Any]) -> dict[str, Any]:
        return action(request if isinstance(request, dict) else {})

    call.__name__ = name
    return call


def _unload(page: gr.Blocks, action: Callable[..., Any]) -> None:
    """What Gradio does when a page's connection closes; no visitor may ask for it, and it waits for nothing."""
    before = set(page.fns)
    page.unload(action)
    for number in set(page.fns) - before:
        page.fns[number].api_visibility, page.fns[number].queue = "private", False


def _part(name: str, markup: str) -> None:
    gr.HTML(markup, elem_id=f"{name}-part", apply_default_css=False, js_on_load=viewer.joining(name))


def _filled(name: str, values: Mapping[str, str]) -> str:
    """A file of static/ with its @NAMES replaced, the longest first, for one may begin like another."""
    markup = (STATIC / name).read_text(encoding="utf-8")
    for key in sorted(values, key=len, reverse=True):
        markup = markup.replace(f"@{key}", values[key])
    return markup


def _texts(*names: str) -> dict[str, str]:
    return {name: escape(getattr(text, name)) for name in names}


def _rail(privacy: str) -> str:
    buttons = "".join(
        f'<button type="button" id="example-{escape(one.element)}" data-example="{escape(one.element)}">'
        f"{escape(one.label)}</button>"
        for one in examples.bundled()
    )
    values = _texts("OPEN_LABEL", "OPEN_HINT", "DROP", "FOLDER", "CLOSE", "SERIES", "NOT_USED", "EXAMPLES")
    values |= _texts("READER_FIRST", "READER_FIRST_INFO")
    values |= {"NOTE": escape(examples.note()), "BUTTONS": buttons, "PRIVACY": escape(privacy)}
    return _filled("rail.html", values)


def _side() -> str:
    verdicts = "".join(
        f'<label><input type="radio" name="snx-verdict" value="{escape(one)}"> {escape(one)}</label>'
        for one in text.VERDICTS
    )
    methods = "".join(
        f'<option value="{m.name}">{escape(m.title)}{", slow" if m.slow else ""}</option>' for m in METHODS.values()
    )
    values = _texts("CANCEL", "AGAIN", "COMMIT", "COMMIT_LABEL", "FORCE")
    values |= _texts("THRESHOLD_LABEL", "THRESHOLD_RESET", "METHOD_LABEL", "TECHNICAL")
    values |= _texts("UNSAVED", "UNSAVED_WHY", "STAY", "LEAVE")
    return _filled("side.html", values | {"VERDICTS": verdicts, "METHODS": methods})

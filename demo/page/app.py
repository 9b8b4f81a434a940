"""The page: widgets and wiring only. Sentences are in `text`, actions in `handlers`, looks in `theme`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from demo.presence import HEARTBEAT_SECONDS
from demo.service import Service
from demo.sessions import CaseStore
from strokenext import METHODS

from . import answer, examples, takeaway, text, theme, viewer
from .handlers import Handlers, Screen

#: (seconds between sweeps, seconds a file may live) of Gradio's own cache, should an upload ever be left there.
DELETE_CACHE = (600, 1800)
#: Runs once in the browser when the page is there.
ON_LOAD = "() => { document.documentElement.lang = 'en'; document.body.classList.add('dark'); }"


@dataclass(frozen=True)
class Rail:
    """What stands on the left: what to open, and how to look at it."""

    files: gr.File
    folder: gr.UploadButton
    close: gr.Button
    examples: list[tuple[gr.Button, Path]]
    reader_first: gr.Checkbox


@dataclass(frozen=True)
class Side:
    """What stands on the right: the answer, and what can be asked of it."""

    answer: gr.HTML
    commit_form: gr.Column
    verdict: gr.Radio
    commit: gr.Button
    force: gr.Button
    tuning: gr.Column
    threshold: gr.Slider
    stored: gr.Button
    method: gr.Dropdown
    takeaway: gr.HTML


@dataclass(frozen=True)
class Widgets:
    """What the wiring needs to name."""

    key: gr.State
    clock: gr.Timer
    heartbeat: gr.Timer
    status: gr.HTML
    rail: Rail
    viewer: gr.HTML
    side: Side


def build(service: Service) -> gr.Blocks:
    """The Blocks of the page on one service; mount them with `page_options()`."""
    settings = service.settings
    store = CaseStore(settings.max_held, idle=settings.idle, gone=lambda owner: forget_session(page, owner))
    service.regularly(store.sweep)
    handlers = Handlers(service, store)
    with gr.Blocks(title=text.TITLE, analytics_enabled=False, fill_width=True, delete_cache=DELETE_CACHE) as page:
        widgets = _widgets(store, settings.idle / 60)
        _wire(page, widgets, handlers, service)
    page.queue(max_size=service.settings.queue + service.settings.workers, api_open=False)
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
        "css": theme.css(),
        "js": ON_LOAD,
        "head": theme.HEAD,
        "favicon_path": str(viewer.STATIC / "favicon.svg"),
        "show_error": False,
        "run_history": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "pwa": False,
        "footer_links": [],
        "allowed_paths": [],
    }


def _widgets(store: CaseStore, minutes: float) -> Widgets:
    key, clock = gr.State(None), gr.Timer(0.8)
    with gr.Row(elem_id="bar"):
        gr.HTML(theme.brand(), elem_id="brand", apply_default_css=False)
        status = gr.HTML("", elem_id="status", apply_default_css=False)
    with gr.Row(elem_id="desk"):
        with gr.Column(elem_id="rail"):
            rail = _rail(minutes)
        with gr.Column(elem_id="centre"):
            centre = viewer.component(store)
        with gr.Column(elem_id="side"):
            side = _side(store)
    return Widgets(key, clock, gr.Timer(HEARTBEAT_SECONDS), status, rail, centre, side)


def _rail(minutes: float) -> Rail:
    with gr.Column(elem_id="open"):
        _hint(text.OPEN_LABEL, text.OPEN_HINT)
        files = gr.File(
            label=text.OPEN_LABEL, file_count="multiple", height=96, elem_id="files", buttons=[], show_label=False
        )
        with gr.Row(elem_classes="pair"):
            folder = gr.UploadButton(text.FOLDER, file_count="directory", size="sm", elem_id="folder")
            close = gr.Button(text.CLOSE, size="sm", elem_id="close")
    with gr.Column(elem_id="examples"):
        _hint(text.EXAMPLES, examples.note())
        with gr.Row(elem_classes="example-buttons"):
            buttons = [
                (gr.Button(example.label, size="sm", elem_id=f"example-{example.element}"), example.path)
                for example in examples.bundled()
            ]
    with gr.Column(elem_id="manner"):
        reader_first = gr.Checkbox(False, label=text.READER_FIRST, info=text.READER_FIRST_INFO, elem_id="reader-first")
    with gr.Column(elem_id="privacy"):
        _hint("", text.NOTICE_LONG.format(minutes=minutes))
    return Rail(files, folder, close, buttons, reader_first)


def _unload(page: gr.Blocks, action: Callable[..., Any]) -> None:
    """What Gradio does when a page's connection closes; no visitor may ask for it, and it waits for nothing."""
    before = set(page.fns)
    page.unload(action)
    for number in set(page.fns) - before:
        page.fns[number].api_visibility, page.fns[number].queue = "private", False


def _hint(title: str, sentence: str) -> None:
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    gr.HTML(f"{heading}<p>{escape(sentence)}</p>", elem_classes="hint", apply_default_css=False)


def _side(store: CaseStore) -> Side:
    panel = gr.HTML(answer.note(text.EMPTY_ANSWER, "empty"), elem_id="answer", apply_default_css=False, js_on_load=None)
    with gr.Column(visible=False, elem_id="commit-form") as commit_form:
        verdict = gr.Radio(list(text.VERDICTS), label=text.COMMIT_LABEL, elem_id="verdict")
        commit = gr.Button(text.COMMIT, variant="primary", elem_id="commit")
    force = gr.Button(text.FORCE, visible=False, elem_id="force")
    with gr.Column(visible=False, elem_id="tuning") as tuning:
        threshold = gr.Slider(
            0.01, 0.99, value=0.5, step=0.01, label=text.THRESHOLD_LABEL, elem_id="threshold", buttons=[]
        )
        with gr.Row(elem_classes="pair"):
            stored = gr.Button(text.THRESHOLD_RESET, size="sm", elem_id="stored")
            methods = [(f"{m.title}, slow" if m.slow else m.title, m.name) for m in METHODS.values()]
            method = gr.Dropdown(methods, value="gradcam", label=text.METHOD_LABEL, elem_id="method", filterable=False)
    files = takeaway.component(store)
    return Side(panel, commit_form, verdict, commit, force, tuning, threshold, stored, method, files)


def _wire(page: gr.Blocks, w: Widgets, handlers: Handlers, service: Service) -> None:
    rail, side = w.rail, w.side
    outputs = list(
        Screen(w.key, w.viewer, side.answer, side.takeaway, side.commit_form, side.force, side.threshold, side.tuning)
    )
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    model = quiet | {
        "concurrency_id": "model",
        "concurrency_limit": service.settings.workers,
        "outputs": outputs,
    }

    def on(event: Callable[..., Any], action: Callable[..., Any], *inputs: Any, **more: Any) -> Any:
        return event(action, inputs=list(inputs), **(model | more))

    for source in (rail.files, rail.folder):
        sent = on(source.upload, handlers.open_uploads, source, w.key, rail.reader_first, trigger_mode="once")
        sent.then(lambda: None, outputs=[source], queue=False, **quiet)
    for button, path in rail.examples:
        on(button.click, handlers.example(path), w.key, rail.reader_first, trigger_mode="once")
    on(w.viewer.slice, handlers.choose_slice, w.key, trigger_mode="always_last")
    on(side.force.click, handlers.force, w.key)
    on(side.threshold.input, handlers.set_threshold, w.key, side.threshold, trigger_mode="always_last")
    on(side.stored.click, handlers.stored_threshold, w.key)
    on(side.method.input, handlers.set_method, w.key, side.method)
    on(side.commit.click, handlers.commit, w.key, side.verdict)
    on(rail.close.click, handlers.close, w.key, queue=False)
    tick: dict[str, Any] = {"outputs": [w.status, w.clock], "queue": False} | quiet
    w.clock.tick(handlers.status, **tick)
    page.load(handlers.status, **tick)
    on(w.heartbeat.tick, handlers.alive, w.key, queue=False)
    _unload(page, handlers.left)

"""The page of `python app.py` in real Chromium: what a test sees of it and does to it."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import strokenext

from .places import EXAMPLES, ROOT

BUNDLED = ROOT / "assets" / "strokenext-atto-presence" / "model.safetensors"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: A shared machine can stall a browser for longer than any wait; what fails three times running is broken.
NEEDS_CHROMIUM = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)"),
    pytest.mark.flaky(reruns=2),
]


@contextmanager
def app(folder: Path, models: Path) -> Iterator[tuple[str, Path]]:
    """(address, upload folder) of `python app.py` in a process of its own.

    Where no models are bundled, random ones are put into the folder `models`.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    if not BUNDLED.exists():
        environment["STROKENEXT_ASSETS"] = str(random_models(models))
    command = [sys.executable, str(ROOT / "app.py"), "--port", "0", "--device", "cpu", "--data-dir", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
    said = ""
    try:
        while not (found := re.search(r"http://[\d.]+:\d+", said)):
            said += lines.get(timeout=180)  # a busy machine imports torch and gradio slowly
        yield found.group(), folder / "uploads"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def uploaded(folder: Path) -> list[Path]:
    """The files of visitors in the server's upload folder; the server's own lock on it is none of them."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".strokenext.lock"]


def random_models(assets: Path) -> Path:
    """The tiny random models, with a colour scale on which their faint evidence can be seen."""
    from tests.helpers.tiny_models import save_pair

    save_pair(assets, size=96)
    config = assets / "strokenext-atto-presence" / "config.json"
    peak = strokenext.load(str(config.parent), device="cpu").predict(EXAMPLES / "hemorrhage.dcm").heat.peak
    config.write_text(json.dumps(json.loads(config.read_text()) | {"heat_scale": max(peak, 1e-6)}))
    return assets


class Tab:
    """One page and everything it said, asked for and was sent."""

    def __init__(self, browser: Any, address: str, size: tuple[int, int] = (1366, 768), **context: Any) -> None:
        self.page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **context)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.responses: list[object] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("response", lambda r: self.responses.append(r))
        self.page.set_default_timeout(30_000)
        self.page.goto(address)
        self.page.wait_for_selector("body[data-wired=yes]", timeout=120_000)
        self.page.wait_for_selector(".s-ready", timeout=120_000)

    def example(self, name: str, wait: str = ".snx-answer") -> None:
        self.page.click(f"#example-{name}")
        self.page.wait_for_selector(wait, timeout=60_000)
        self.shown()

    def upload(self, *paths: Path, wait: str = ".snx-answer") -> None:
        self.page.set_input_files("#files input[type=file]", [str(p) for p in paths])
        self.page.wait_for_selector(wait, timeout=120_000)

    def shown(self) -> None:
        """Wait until the slice is painted."""
        self.page.wait_for_selector('.snx-viewer[data-ready="yes"]')
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def grey(self) -> float:
        """Mean of the canvas over its middle, 0..255."""
        self.shown()
        return self.page.evaluate(
            """() => { const c = document.querySelector('.v-canvas'), g = c.getContext('2d');
            const d = g.getImageData(c.width / 3, c.height / 3, c.width / 3, c.height / 3).data;
            let sum = 0; for (let i = 0; i < d.length; i += 4) sum += d[i]; return 4 * sum / d.length; }"""
        )

    def text(self, selector: str) -> str:
        return self.page.inner_text(selector)

    def point(self, row: int, column: int) -> None:
        """Move the mouse over the middle of one pixel of the picture."""
        x, y = self.page.evaluate(
            """([row, column]) => { const s = window.StrokeNeXt.viewer.stage, pane = s.panes()[0];
            const [kx, ky] = s.scale(pane), [cx, cy] = s.corner(pane), b = s.box.getBoundingClientRect();
            return [b.left + cx + (column + 0.5) * kx, b.top + cy + (row + 0.5) * ky]; }""",
            [row, column],
        )
        self.page.mouse.move(x, y)

    def close(self) -> None:
        """Nothing may have gone wrong in the console, and nothing may have left this machine."""
        foreign = [u for u in self.requests if not re.match(r"(http://127\.0\.0\.1:|data:|blob:)", u)]
        self.page.close()
        assert not foreign
        assert not self.errors

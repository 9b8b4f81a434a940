"""Hurried readers on slow lines: random sequences in two real browsers against a model of what may be on the screen.

Whatever is on the screen at any moment belongs to the case opened last and to the slice named beside it: its name,
picture, number, heat, curve, verdict, the list of its upload's series, and every file that is saved.
STROKENEXT_TEST_STEPS sets how many steps are taken, STROKENEXT_TEST_SEED which: what a reader tries is the same each
time, whatever the server and the machine make of it.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import strokenext
from strokenext import words
from tests.helpers.places import ROOT

if TYPE_CHECKING:
    from tests.helpers.sites.known_cases import Case, Known

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("pydicom")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
STEPS = int(os.environ.get("STROKENEXT_TEST_STEPS", "120"))
SEED = int(os.environ.get("STROKENEXT_TEST_SEED", "1"))
#: Longest wait that is put before one piece of the server's work, seconds.
SLOW = 0.8
#: A machine that is busy with other things may take that long until a page is at rest.
SETTLE_SECONDS = 180
BUNDLED = ROOT / "assets" / "strokenext-atto-presence" / "model.safetensors"

#: All that is on the screen, read in one go: nothing can change in between.
LOOK = """() => {
  const s = window.StrokeNeXt.viewer.state, p = window.StrokeNeXt.page, find = (q) => document.querySelector(q);
  const visible = (q) => { const e = find(q); return Boolean(e) && e.offsetParent !== null; };
  const print = (values) => {
    let h = 2166136261; for (const v of values) h = Math.imul(h ^ (v & 0xffff), 16777619) >>> 0; return h; };
  const canvas = find('.v-canvas'), heat = s.heat(), curve = find('.v-curve svg');
  return {
    phase: document.body.dataset.phase, case: p.case, index: s.index, count: s.count,
    picture: s.picture && print(s.picture.values), ready: find('.snx-viewer').dataset.ready,
    corner: find('.v-tl').textContent, counter: find('.v-counter').textContent, label: find('.v-canvas').ariaLabel,
    busy: visible('.v-busy') && find('.v-busy-text').textContent, line: visible('.v-line'),
    panel: find('#answer').innerText, html: find('#answer').innerHTML,
    number: find('#answer .a-number b')?.textContent ?? null,
    heat: heat && { index: heat.index, maps: heat.maps.map((m) => m.map((v) => Math.round(v * 1e4))) },
    curve: curve && document.querySelectorAll('.v-curve .c-bar').length,
    points: s.curve?.points.map((x) => x.p) ?? null,
    takeaway: visible('.snx-takeaway'), commit: visible('#commit-form'), again: visible('#again'),
    verdict: find('#verdict input:checked')?.value ?? null, opinion: find('.t-opinion input:checked')?.value ?? null,
    saved: find('.t-status').textContent, answered: find('#answer .a-label')?.textContent ?? null,
    listed: visible('#series'),
    rows: [...document.querySelectorAll('.series-name')].map((e) => e.firstChild.textContent),
    current: [...document.querySelectorAll('.series-row[aria-current=true]')].map((e) => Number(e.dataset.number)),
    asking: find('#unsaved').open,
  }; }"""
#: Whether anything is drawn on the stage and whether there is a picture, two frames after that last changed.
DRAWN = """() => new Promise((done) => {
  const state = window.StrokeNeXt.viewer.state, c = document.querySelector('.v-canvas');
  const look = (before) => requestAnimationFrame(() => requestAnimationFrame(() => {
    if (state.picture !== before) { look(state.picture); return; }
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let drawn = false; for (let i = 3; i < d.length; i += 4 * 97) drawn ||= d[i] > 0;
    done([drawn, Boolean(before)]); }));
  look(state.picture); })"""


#: Answers the question before a judgement is lost, and waits until that has had its effect.
REPLY = """(value) => new Promise((done) => {
  document.querySelector(`#unsaved [value=${value}]`).click();
  const wait = () => (window.StrokeNeXt.page.unsaved.go ? setTimeout(wait, 1) : done());
  wait(); })"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Known]:
    if not BUNDLED.exists():
        pytest.skip("the bundled models are not here; tiny random ones do not tell slices apart")
    from tests.helpers.sites import known_cases

    return known_cases.sources(
        tmp_path_factory.mktemp("sources"), strokenext.load(task="presence", device="cpu", kind="slice")
    )


class Reader:
    """One browser, the reader before it, and what that reader knows to be open."""

    def __init__(self, browser: Any, address: str, sources: list[Known], seed: int) -> None:
        self.context = browser.new_context(viewport={"width": 1366, "height": 768}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.line = self.context.new_cdp_session(self.page)
        self.line.send("Network.enable")
        self.errors: list[str] = []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.files: list[Any] = []
        self.page.on("download", lambda file: self.files.append(file))
        self.sources, self.seed, self.random = sources, seed, random.Random(seed)
        self.open: Known | None = None
        self.series: int | None = None  # the one that was chosen, or opens where none was
        self.listed: Known | None = None  # whose series may be listed
        self.first = False  # whether the case on the screen was opened reader first
        self.committed = False
        self.chose = False  # a verdict, of this case
        self.unsaved = False  # something was judged of this case
        self.took = False  # and some file of it was saved
        self.offline = False
        self.log: list[str] = []
        self.seen: Counter[str] = Counter()  # how often what was on the screen when it was looked at
        self.page.goto(address)
        self.page.wait_for_selector("body[data-wired=yes]")
        self.page.wait_for_selector(".s-ready", timeout=180_000)

    # --- what a hurried reader does ---

    def step(self) -> None:
        """Do something at random, then look. What is tried depends on the number of the step alone."""
        self.random = random.Random(f"{self.seed} {len(self.log)}")
        acts = {
            self.choose: 4, self.pick: 14, self.scroll: 9, self.cancel: 2, self.close: 1, self.cut: 2, self.mend: 4,
            self.slow: 1, self.save: 6, self.reader_first: 1, self.read: 3, self.judge: 1, self.again: 1, self.wait: 9,
            self.force: 1, self.agree: 3,
        }  # fmt: skip
        act = self.random.choices(list(acts), list(acts.values()))[0]
        self.log.append(act.__name__)
        act()
        self.check()

    def js(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def choose(self) -> None:
        one, stay = self.random.choice(self.sources), self.random.random() < 0.4
        self.log[-1] += f" {one.name}"
        self.choose_again(one, stay)

    def choose_again(self, one: Known, stay: bool = False) -> None:
        if one.example:
            self.js("(id) => document.querySelector(`[data-example='${id}']`).click()", one.example)
        else:
            self.page.set_input_files("#files input[type=file]", [str(p) for p in one.files])
        if self.leaves(stay):
            self.begins(one, one.meant)

    def pick(self) -> None:
        """Choose a series of the list, the one that is open as well; without a list open an upload that has one."""
        number, stay = self.random.randint(1, 3), self.random.random() < 0.4
        upload = self.random.choice([one for one in self.sources if one.rows])
        self.log[-1] += f" {number} or {upload.name}"
        patience = self.random.choice([0, 1500])
        if self.open and self.open.rows and not self.look()["listed"]:
            self.page.wait_for_timeout(patience)
        if self.look()["listed"]:
            self.pick_again(1 + number % len(self.listed.rows), stay)
        elif not (self.open and self.open.rows):
            self.choose_again(upload, stay)

    def pick_again(self, number: int, stay: bool = False) -> None:
        clicked = self.js(
            """(n) => { const row = document.querySelector(`.series-row[data-number='${n}']`);
            if (row?.offsetParent) row.click(); return Boolean(row?.offsetParent); }""",
            number,
        )
        if clicked and self.leaves(stay):
            self.seen.update(picked=1)
            self.begins(self.listed, number)

    def leaves(self, stay: bool) -> bool:
        """After a click that opens something else or nothing: whether the reader went, or was asked first and stays."""
        asking = self.look()["asking"]
        if not self.took:
            assert asking == self.unsaved, "the reader is asked though nothing is lost, or is not asked"
        assert self.unsaved or not asking
        if asking:
            self.seen.update(asked=1)
            self.js(REPLY, "stay" if stay else "leave")
        return not (asking and stay)

    def begins(self, known: Known | None, series: int | None, listed: bool = True) -> None:
        """Something else is opened, or nothing."""
        self.first = known is not None and self.js("document.querySelector('#reader-first input').checked")
        self.committed = self.chose = self.unsaved = self.took = False
        self.open, self.series = known, series
        self.listed = (known or self.listed) if listed else None

    def scroll(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.js("(q) => document.querySelector(q).click()", self.random.choice([".v-next", ".v-next", ".v-prev"]))
            if self.random.random() < 0.3:
                self.check()

    def cancel(self) -> None:
        before, after, chosen = self.js(
            """() => { const phase = document.body.dataset.phase, source = window.StrokeNeXt.page.source;
            document.querySelector('#cancel').click();
            return [phase, document.body.dataset.phase, Boolean(source?.series)]; }"""
        )
        assert after == {"opening": "empty", "judging": "failed"}.get(before, before)
        if before == "opening":
            self.begins(None, None, listed=chosen)  # the list stays where its series was chosen from it

    def close(self) -> None:
        stay = self.random.random() < 0.4
        self.js("document.querySelector('#close').click()")
        if self.leaves(stay):
            self.begins(None, None, listed=False)

    def cut(self) -> None:
        self.offline = True
        self.context.set_offline(True)

    def mend(self) -> None:
        self.offline = False
        self.context.set_offline(False)
        self.throttle(0, -1)

    def slow(self) -> None:
        if not self.offline:
            self.throttle(250, 150_000)

    def throttle(self, latency: int, rate: int) -> None:
        sent = {"offline": self.offline, "latency": latency, "downloadThroughput": rate, "uploadThroughput": rate}
        self.line.send("Network.emulateNetworkConditions", sent)

    def save(self) -> None:
        """Save a file and, half of the time, go on at once: what arrives is of the slice on which it was asked for."""
        seen = self.look()
        if not seen["takeaway"] or self.offline:
            return
        files = self.files
        files.clear()
        self.js("document.querySelector('button[data-kind=json]').click()")
        hurried = self.random.random() < 0.5
        if hurried:
            self.scroll()
        end = time.monotonic() + 20
        while not files and time.monotonic() < end:
            status = self.look()["saved"]
            if status and not status.startswith("Preparing"):
                break
            if hurried and not status:
                break
            self.page.wait_for_timeout(50)
        self.page.wait_for_timeout(100)
        for file in files:
            body = json.loads(Path(file.path()).read_text())
            self.seen.update(saved=1)
            self.took = True
            assert body["slice"] == seen["index"] + 1
            assert (
                body.get("presence", body)["provenance"]["input_sha256"]
                == self.right(seen["index"]).provenance.input_sha256
            )

    def reader_first(self) -> None:
        self.js("document.querySelector('#reader-first input').click()")

    def read(self) -> None:
        """Choose a verdict and, most of the time, commit."""
        commits = self.random.random() < 0.7
        there = self.js(
            """() => { const there = document.querySelector('#commit-form').offsetParent !== null;
            if (there) document.querySelectorAll('#verdict input')[1].click(); return there; }"""
        )
        if not there:
            return
        self.chose = self.unsaved = True
        if commits and self.js(
            """() => { const there = document.querySelector('#commit-form').offsetParent !== null;
            if (there) document.querySelector('#commit').click(); return there; }"""
        ):
            self.committed = True

    def judge(self) -> None:
        """Another threshold or method."""
        self.js(
            """(v) => { if (document.querySelector('#tuning').offsetParent === null) return;
            const e = document.querySelector('#threshold input');
            e.value = v; e.dispatchEvent(new Event('input')); }""",
            round(self.random.uniform(0.1, 0.9), 2),
        )

    def again(self) -> None:
        self.js("() => { const e = document.querySelector('#again'); if (e.offsetParent) e.click(); }")

    def force(self) -> None:
        self.js("() => { const e = document.querySelector('#force'); if (e.offsetParent) e.click(); }")

    def agree(self) -> None:
        self.unsaved |= self.js(
            """() => { const e = document.querySelector('.t-opinion input'), there = Boolean(e.offsetParent);
            if (there) e.click(); return there; }"""
        )

    def wait(self) -> None:
        self.page.wait_for_timeout(self.random.choice([20, 100, 300, 900, 1800]))

    def tour(self) -> None:
        """Once through what chance may leave out: several series, choosing one, the question before all is lost."""
        two = next(one for one in self.sources if one.meant is None)
        bleed = self.sources[0]
        acts = [
            lambda: self.choose_again(two),
            lambda: self.pick_again(2),
            self.agree,
            lambda: self.pick_again(1, stay=True),
            lambda: self.pick_again(1),
            self.agree,
            lambda: self.choose_again(bleed, stay=True),
            self.close,
        ]
        for act in acts:
            act()
            self.check()
            self.settle()

    # --- what may be on the screen ---

    def look(self) -> dict[str, Any]:
        return self.js(LOOK)

    @property
    def case(self) -> Case | None:
        """The only case that may be on the screen; none while the reader is asked which."""
        return self.open and self.series and self.open.cases.get(self.series)

    def right(self, index: int) -> Any:
        return self.case.answers[index]

    def check(self) -> dict[str, Any]:
        """All that is on the screen belongs to the open case and the slice that is named."""
        seen = self.look()
        self.seen.update(
            {
                what: 1
                for what in ("picture", "number", "heat", "points", "takeaway", "commit", "line", "verdict", "listed")
                if seen[what]
            }
        )
        self.seen.update({seen["phase"]: 1})
        try:
            self.check_stage(seen)
            self.check_list(seen)
            self.check_answer(seen)
            drawn, expected = self.js(DRAWN)
            assert drawn == expected, "the stage is drawn without a picture, or a picture is not drawn"
        except AssertionError as error:
            short = {k: v for k, v in seen.items() if k not in ("html", "heat", "points")}
            raise AssertionError(
                f"{error}\nopen: {self.open and self.open.name}, series {self.series}\n{short}\n"
                f"after {len(self.log)} steps from seed {self.seed}: {self.log[-25:]}"
            ) from error
        return seen

    def check_stage(self, seen: dict[str, Any]) -> None:
        case = self.case
        if seen["case"] is None or case is None:
            assert seen["case"] is None, "a case is open that should not be"
            assert seen["picture"] is None
            assert seen["count"] == 0
            assert seen["corner"] == ""
            assert seen["label"] == "No slice open"
            return
        assert seen["count"] == len(case)
        if seen["picture"] is not None:
            assert seen["picture"] == case.prints[seen["index"]], "the picture is of another case or slice"
        assert (seen["ready"] == "yes") == (seen["picture"] is not None)
        place, named = seen["corner"].split("\n")
        assert named == case.label, "the stage names another case"
        assert seen["label"].startswith(f"{case.label}, ")
        if seen["count"] > 1:
            assert place == f"Slice {seen['index'] + 1} / {seen['count']}"
            assert seen["counter"] == f"{seen['index'] + 1} / {seen['count']}"
        assert f"slice {seen['index'] + 1} of {seen['count']}" in seen["label"]

    def check_list(self, seen: dict[str, Any]) -> None:
        """The list is of the upload that is open or was, and marks the series that is open or was chosen, no other."""
        if seen["phase"] == "choosing":
            assert self.case is None, "the reader is asked though a series was chosen or is clearly meant"
            assert self.open is not None
            assert seen["listed"]
        if not seen["listed"]:
            return
        assert self.listed is not None, "series of what is no longer open are listed"
        assert tuple(seen["rows"]) == self.listed.rows, "another upload's series are listed"
        assert seen["current"] == ([] if self.case is None else [self.series])

    def check_answer(self, seen: dict[str, Any]) -> None:
        hidden = self.first and not self.committed
        noise = self.open is not None and self.open.name == "noise"
        if seen["case"] is None or (hidden and not noise):
            for what in ("number", "heat", "points", "curve"):
                assert not seen[what], f"{what} is on the screen"
            assert not seen["takeaway"]
        assert seen["verdict"] is None or self.chose, "the last case's verdict is selected"
        if seen["case"] is None:
            assert not seen["commit"]
            assert not seen["again"]
            assert "a-card" not in seen["html"]
            return
        assert seen["answered"] in (None, self.case.label), "the answer names another case"
        right = self.right(seen["index"])
        sha = re.findall(r">Input</th><td>([0-9a-f]{16})", seen["html"])
        assert sha in ([], [right.provenance.input_sha256[:16]]), "the answer is about another case or slice"
        if seen["number"] is not None and not noise:
            assert sha
            assert seen["number"] == words.percent(right.probability)
        heads = re.findall(r"Stroke on slice (\d+)", seen["html"])
        assert heads in ([], [str(seen["index"] + 1)])
        if seen["heat"] is not None and right.heat is not None:
            assert seen["heat"]["index"] == seen["index"]
            assert np.abs(np.array(seen["heat"]["maps"]) - right.heat.maps.reshape(2, -1) * 1e4).max() <= 2
            assert seen["number"] is not None, "evidence without its number"
        if seen["points"] is not None:
            expected = [answer.probability for answer in self.case.answers]
            for shown, wanted in zip(seen["points"], expected, strict=True):
                assert (shown is None) == (wanted is None)
                assert shown is None or shown == pytest.approx(wanted, abs=1e-3)
        if seen["takeaway"]:
            assert sha, "files are offered without an answer"

    def settle(self) -> None:
        """With a good line and a little patience the page comes to rest, and shows what was asked for."""
        self.mend()
        self.log.append("settle")
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            seen = self.check()
            at_rest = seen["phase"] not in ("opening", "judging") and not seen["line"]
            if seen["again"]:
                self.again()
            elif at_rest and seen["case"] is None and self.case is not None:
                self.retry(self.open, self.series, seen)  # its opening ended with the line
            elif at_rest and seen["case"] is None and self.asked and seen["phase"] != "choosing":
                self.choose_again(self.open)
            elif at_rest and (seen["case"] is None or seen["picture"] is not None):
                break
            self.page.wait_for_timeout(100)
        else:
            raise AssertionError(
                f"the page does not come to rest: {seen['phase']} {seen['panel'][:80]!r} after {self.log[-25:]}"
            )
        if self.case is not None:
            assert seen["phase"] in ("shown", "refused")
            hidden = self.first and not self.committed and self.open.name != "noise"
            assert (seen["number"] is None) == (
                hidden or self.right(seen["index"]).refused
            ) or self.open.name == "noise"
        elif self.asked:
            assert seen["phase"] == "choosing"
        else:
            assert seen["phase"] in (("empty", "failed") if self.open is None else ("failed",))

    @property
    def asked(self) -> bool:
        """Whether it is for the reader to say which series is meant."""
        return self.open is not None and not self.open.broken and self.series is None

    def retry(self, known: Known, series: int, seen: dict[str, Any]) -> None:
        """Open it again, by the list where it is one of several and the list is still there."""
        if seen["listed"]:
            self.pick_again(series)
        else:
            self.choose_again(known)


def test_nothing_of_another_case_or_slice_is_ever_on_the_screen(sources, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    from tests.helpers.sites import slow_site

    with slow_site.running(SLOW, SEED) as (address, _service), sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=120_000)
        readers = [Reader(browser, address, sources, SEED * 100 + i) for i in range(2)]
        choice = random.Random(SEED)
        readers[0].tour()
        for number in range(1, STEPS + 1):
            reader = choice.choice(readers)
            reader.step()
            if number % 20 == 0:
                for one in readers:
                    one.settle()
        for one in readers:
            one.settle()
            assert not one.errors
        seen = readers[0].seen + readers[1].seen
        browser.close()
    print(f"{STEPS} steps from seed {SEED}: {dict(seen.most_common())}")
    wanted = "picture number heat points takeaway opening judging shown empty listed choosing picked asked"
    for what in wanted.split():
        assert seen[what], f"{what} was never seen in all these steps"

"""The page without a browser: what it remembers, sends, says and leaves switched off."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.places import EXAMPLES
from tests.helpers.reading import cut_out

pytest.importorskip("gradio")

from demo.page import app, examples, takeaway, text, theme, viewer
from demo.page.state import Phase
from demo.service import Service
from demo.sessions import Case, CaseStore, ExpiredError
from demo.settings import Settings
from demo.storage.uploads import Uploads
from strokenext.errors import InputError, TooLargeError
from strokenext.frame.naming import file_stem
from strokenext.overlay import COLORMAPS, STYLES, render
from strokenext.types import Heat, Slice, Window
from tests.helpers.page_desk import Desk, taken, waiting
from tests.helpers.tiny_models import started

STATIC = Path(viewer.__file__).parent / "static"


def picture(side: int = 8, unit: str = "HU", value: float = 30.0) -> Slice:
    return Slice(np.full((side, side), value, dtype=np.float32), unit)  # type: ignore[arg-type]


def case(side: int = 8, count: int = 1, **more: object) -> Case:
    return Case(tuple(picture(side) for _ in range(count)), "DICOM", **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def service(tiny_assets):
    """A service on two tiny random models."""
    return started(device="cpu")


@pytest.fixture
def desk(service):
    """A page."""
    return Desk(service)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestStore:
    def test_a_case_is_found_by_its_key_alone(self):
        store = CaseStore()
        first, second = store.add(case()), store.add(case(side=16))
        assert first != second
        assert len(first) >= 20
        assert store.get(second).images[0].shape == (16, 16)
        for wrong in (None, "", first[:-1]):
            with pytest.raises(ExpiredError, match="Open it again"):
                store.get(wrong)

    def test_it_forgets_after_its_lifetime_since_the_last_use(self):
        clock = Clock()
        store = CaseStore(idle=100, clock=clock)
        key = store.add(case())
        clock.now = 90
        store.get(key)
        clock.now = 180
        store.get(key)
        clock.now = 281
        with pytest.raises(ExpiredError):
            store.get(key)
        assert len(store) == 0

    def test_the_least_recently_used_goes_when_bytes_run_out(self):
        """8 x 8 float32 pixels are 256 bytes: three cases do not fit in 600."""
        store = CaseStore(limit=600)
        old, used = store.add(case()), store.add(case())
        store.get(old)
        new = store.add(case())
        assert store.get(old)
        assert store.get(new)
        with pytest.raises(ExpiredError):
            store.get(used)

    def test_a_case_that_alone_is_above_the_limit_is_refused_and_costs_nobody_a_case(self):
        store = CaseStore(limit=600)
        small = store.add(case())
        with pytest.raises(TooLargeError, match="more than"):
            store.add(case(side=64))
        assert store.get(small)

    def test_no_more_cases_than_allowed(self):
        store = CaseStore(count=2)
        for _ in range(5):
            store.add(case())
        assert len(store) == 2


class TestPixels:
    def test_hu_arrive_exactly(self):
        image = Slice(np.array([[-1024, 0, 61, 3071]], dtype=np.float32), "HU")
        reply = viewer.encode(image)
        stored = np.frombuffer(gzip.decompress(base64.b64decode(reply["data"])), "<i2")
        assert reply["scale"] == 1
        assert stored.tolist() == [-1024, 0, 61, 3071]

    @settings(deadline=None, max_examples=25)
    @given(st.lists(st.floats(0, 255), min_size=1, max_size=20))
    def test_grey_levels_keep_more_than_eight_bits(self, levels):
        image = Slice(np.array([levels], dtype=np.float32), "grey")
        reply = viewer.encode(image, plain=True)
        shown = np.frombuffer(base64.b64decode(reply["data"]), "<i2") * reply["scale"]
        assert np.abs(shown - levels).max() <= 1 / 256 + 1e-5  # half a step, and the rounding of float32

    def test_the_file_s_own_windows_come_first_then_the_six_presets(self):
        image = Slice(np.zeros((4, 4), np.float32), "HU", windows=(Window(90, 35, "Doe^Jane"),))
        message = viewer.message("k", Case((image,), "DICOM"))
        assert message["windows"][0] == {"name": "File", "width": 90, "level": 35}
        assert [w["width"] for w in message["windows"][1:]] == [80, 40, 8, 215, 400, 2500]
        assert "Doe" not in json.dumps(message)

    def test_no_hu_no_windows_but_the_reason(self):
        message = viewer.message("k", Case((picture(unit="grey"),), "PNG"))
        assert message["windows"] == []
        assert "never guessed" in message["why"]
        assert len(message["presets"]) == 6

    def test_letters_and_spacing_only_where_the_file_states_them(self):
        message = viewer.message("k", case())
        assert message["spacing"] is None
        assert viewer.encode(picture())["edges"] is None

    def test_an_unknown_key_gets_a_sentence(self):
        assert viewer.reply(CaseStore(), {"case": "nobody", "index": 0}) == {
            "error": "This picture is no longer held in memory. Open it again."
        }

    def test_the_viewer_offers_what_the_library_draws(self):
        markup = (STATIC / "viewer.html").read_text()
        assert re.findall(r'<option value="(\w+)"', markup) == list(COLORMAPS)
        assert set(re.findall(r'data-value="(heat|grid|contour)"', markup)) == set(STYLES)


NAME_SERIES = "series_hemorrhage.zip"


class TestHandlers:
    def test_an_example_is_shown_first_and_answered_then(self, desk):
        last = desk.open(EXAMPLES / "hemorrhage.dcm")
        assert desk.screens[1].viewer["heat"] is None
        assert len(desk.store) == 1
        assert last.viewer["unit"] == "HU"
        assert last.viewer["heat"]["encoders"] == ["A", "B"]
        assert re.search(r'data-decision="(stroke|non-stroke|indeterminate)"', last.answer)
        assert last.ready
        assert desk.tab.state.phase is Phase.SHOWN

    def test_a_series_has_a_curve_and_opens_at_its_peak(self, desk):
        last = desk.open(EXAMPLES / NAME_SERIES)
        points = last.viewer["curve"]["points"]
        predicted = [p["p"] for p in points if p["p"] is not None]
        assert len(points) == last.viewer["count"] == 16
        assert points[desk.tab.state.index]["p"] == max(predicted)
        for point in points:
            assert (point["p"] is None) == bool(point["reason"])

    def test_the_answer_follows_to_the_slice_the_reader_rests_on(self, desk):
        desk.open(EXAMPLES / NAME_SERIES)
        shown = desk.ask(index=3)
        assert "Stroke on slice 4" in shown.answer
        assert shown.viewer["about"] == shown.viewer["heat"]["index"] == 3
        for wrong in (-1, 16, "4", None, True):
            request = desk.named(sequence=99, index=wrong)
            assert desk.handlers.ask(request)["error"].endswith(".")
        assert desk.tab.state.index == 3

    def test_while_it_is_judged_nothing_of_another_slice_is_on_the_screen(self, desk):
        desk.open(EXAMPLES / NAME_SERIES)
        before = len(desk.screens)
        desk.ask(index=3)
        waiting = desk.screens[before]
        assert waiting.viewer["heat"] is None
        assert "a-number" not in waiting.answer
        assert not waiting.ready

    def test_reader_first_sends_nothing_of_the_answer_before_the_reader_commits(self, desk):
        last = desk.open(EXAMPLES / NAME_SERIES, reader_first=True)
        desk.ask(index=2)
        for screen in desk.screens:
            sent = json.dumps(vars(screen), default=str)
            assert '"heat": {' not in sent
            assert '"curve": {' not in sent
            assert "a-number" not in sent
            assert not screen.ready
        assert last.viewer["about"] == 8  # the middle, not the peak
        assert "a-number" not in desk.ask(verdict="Whatever I like").answer
        shown = desk.ask(verdict=text.VERDICTS[2])
        assert text.VERDICTS[2] in shown.answer
        assert shown.viewer["curve"]
        assert shown.ready

    def test_a_reading_is_noted_once_and_of_its_own_case(self, desk):
        desk.open(EXAMPLES / "hemorrhage.dcm", reader_first=True)
        desk.ask(verdict=text.VERDICTS[1])
        assert desk.case.reading.verdict == text.VERDICTS[1]
        desk.ask(verdict=text.VERDICTS[2])
        assert desk.case.reading.verdict == text.VERDICTS[1]
        assert "a-number" not in desk.open(EXAMPLES / "normal.dcm", reader_first=True).answer

    def test_a_refused_picture_has_a_reason_and_no_number_until_insisted_on(self, desk, tmp_path):
        grey = tmp_path / "photo.png"
        from PIL import Image

        noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
        Image.fromarray(noise).save(grey)
        last = desk.open(grey)
        assert text.REFUSED in last.answer
        assert "a-number" not in last.answer
        assert last.force
        assert desk.tab.state.phase is Phase.REFUSED
        forced = desk.ask(force=True)
        assert "a-number" in forced.answer
        assert text.FORCED in forced.answer

    def test_a_threshold_moves_the_decision_and_says_what_was_stored(self, desk):
        desk.open(EXAMPLES / "hemorrhage.dcm")
        assert 'data-decision="stroke"' in desk.ask(threshold=0.05).answer
        high = desk.ask(threshold=0.95)
        assert 'data-decision="non-stroke"' in high.answer
        assert "stored threshold is 0.50" in high.answer
        assert "stored threshold is" not in desk.ask(threshold=None).answer
        for wrong in (0, 1, "0.5", True, float("nan")):
            request = desk.named(sequence=99, threshold=wrong)
            assert desk.handlers.ask(request)["error"].endswith(".")

    def test_bad_files_become_sentences(self, desk, tmp_path):
        bad = tmp_path / "Doe^John.dcm"
        bad.write_bytes(b"no image" * 40)
        last = desk.open(bad)
        assert 'class="a-note a-error"' in last.answer
        assert not re.search(r"Traceback|Error\b|/tmp|Doe", last.answer)
        assert desk.tab.state.phase is Phase.FAILED
        assert len(desk.store) == 0

    def test_what_nobody_foresaw_is_logged_and_not_shown(self, desk, caplog, monkeypatch):
        def broken(*_arguments, **_more):
            raise RuntimeError("secret /etc/passwd")

        monkeypatch.setattr(desk.handlers.service, "decode", broken)
        last = desk.open(EXAMPLES / "normal.dcm")
        assert text.UNEXPECTED in last.answer
        assert "secret" not in last.answer
        assert "a page action failed" in caplog.text

    @pytest.mark.parametrize(
        "wrong", [None, 7, "x", [], {"tab": 3}, {"tab": "nobody"}, {"generation": "1"}, {"generation": True}]
    )
    def test_whatever_is_sent_gets_a_sentence(self, desk, wrong):
        sent = {"tab": desk.tab.key} | wrong if isinstance(wrong, dict) else wrong
        for name in ("open", "ask", "stop", "close", "look", "pixels"):
            reply = app._call(name, getattr(desk.handlers, name))(sent)
            assert reply.get("error", ".").endswith("."), name

    def test_an_upload_is_gone_as_soon_as_it_is_in_memory(self, desk):
        sent = waiting(desk.uploads, (EXAMPLES / "normal.dcm").read_bytes())
        desk.handlers.open({"tab": desk.tab.key, "generation": 1, "files": sent})
        assert desk.tab.state.phase is Phase.SHOWN
        assert (len(desk.uploads), desk.uploads.size) == (0, 0)
        with pytest.raises(InputError, match="no longer there"):
            taken(desk.uploads, sent)

    def test_an_upload_is_gone_whether_it_can_be_read_or_not(self, desk, monkeypatch):
        sent = waiting(desk.uploads, b"no picture")
        desk.handlers.open({"tab": desk.tab.key, "generation": 1, "files": sent})
        assert desk.tab.state.phase is Phase.FAILED
        assert len(desk.uploads) == 0

        def cancelled(*_: object, cancel: Any, **__: object) -> None:
            desk.close()
            assert len(desk.uploads) == 0
            cancel.check()

        monkeypatch.setattr(desk.handlers.service, "offer", cancelled)
        sent = waiting(desk.uploads, (EXAMPLES / "normal.dcm").read_bytes())
        desk.handlers.open({"tab": desk.tab.key, "generation": 2, "files": sent})
        assert desk.tab.state.phase is Phase.EMPTY
        assert len(desk.uploads) == 0

    def test_no_name_that_is_sent_reads_or_deletes_anything_but_an_upload(self, desk, tmp_path):
        secret = tmp_path / "secret.dcm"
        secret.write_bytes((EXAMPLES / "normal.dcm").read_bytes())
        (own,) = waiting(desk.uploads, secret.read_bytes())
        token = own.split("/")[0]
        names = [str(secret), f"{desk.uploads.root}/{own}", f"{token}/1", f"{token}/00", token, f"{own}/../../x",
                 "/dev/zero", "", "\0", "nothing", own + "\0", f"./{own}"]  # fmt: skip
        for number, name in enumerate(names, 1):
            desk.handlers.open({"tab": desk.tab.key, "generation": number, "files": [name]})
            assert "no longer there" in desk.screen.answer, name
        assert secret.exists()
        assert taken(desk.uploads, [own]) == [secret.read_bytes()]

    def test_closing_forgets(self, desk):
        desk.open(EXAMPLES / "normal.dcm")
        assert desk.close().viewer is None
        assert len(desk.store) == 0

    def test_opening_another_forgets_the_first(self, desk):
        desk.open(EXAMPLES / "normal.dcm")
        first = desk.tab.state.case
        desk.open(EXAMPLES / "hemorrhage.dcm")
        assert len(desk.store) == 1
        pixels = desk.handlers.pixels({"tab": desk.tab.key, "case": first, "index": 0})
        assert pixels == {"error": text.NOT_OPEN}


class TestTakeaway:
    def test_all_files_with_the_reader_s_opinion_and_no_image_bytes_on_disk(self, desk):
        desk.open(EXAMPLES / "hemorrhage.dcm")
        stem = f"{file_stem(desk.case.label)}-strokenext"
        request = desk.named(kind="zip", opinion="Disagree", comment="<b>left</b> side")
        reply = takeaway.reply(desk.handlers.shown, request)
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(reply["data"]))) as archive:
            names = archive.namelist()
            record = json.loads(archive.read(f"{stem}.json"))
            report = archive.read(f"{stem}-report.html").decode()
            assert archive.read(f"{stem}-overlay.png").startswith(b"\x89PNG")
        assert names == [f"{stem}.json", f"{stem}-overlay.png", f"{stem}-report.html"]
        assert record["feedback"] == {"opinion": "Disagree", "comment": "<b>left</b> side"}
        assert record["presence"]["gate"]["accepted"] is True
        assert "&lt;b&gt;left&lt;/b&gt; side" in report
        assert "disagree" in report.lower()

    def test_the_overlay_is_drawn_as_it_stands_on_the_screen(self, desk):
        """Bone is white through 80/40, and 1000 HU is grey through 2500/480; a view out of range is a sentence."""
        from PIL import Image

        desk.open(EXAMPLES / "hemorrhage.dcm")
        view = {"width": 2500, "level": 480, "opacity": 0, "colours": "viridis", "encoder": "A", "style": "grid"}
        reply = takeaway.reply(desk.handlers.shown, desk.named(kind="png", view=view))
        drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(reply["data"]))))
        hu = desk.case.images[0].pixels
        wide = np.clip((hu + 770) / 2500, 0, 1) * 255
        drawn = cut_out(drawn, np.repeat(np.rint(wide).astype(np.uint8)[:, :, None], 3, axis=2))
        assert np.abs(drawn[:, :, 0] - wide).max() <= 1
        for wrong in ({"width": 0}, {"opacity": 7}, {"colours": "jet"}, {"width": "wide"}):
            reply = takeaway.reply(desk.handlers.shown, desk.named(kind="png", view=view | wrong))
            assert reply["error"].endswith(".")

    def test_the_overlay_has_the_evidence_that_the_reader_sees(self, desk):
        """As the answer says; not where it was decided against or asked away; at least faint where asked for."""
        from PIL import Image

        desk.open(EXAMPLES / "hemorrhage.dcm")
        plain = render(desk.case.images[0], window=Window(80, 40))

        def glow(**view: object) -> int:
            view = {"width": 80, "level": 40, "opacity": 1.0} | view
            reply = takeaway.reply(desk.handlers.shown, desk.named(kind="png", view=view))
            drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(reply["data"]))))
            return int(np.abs(cut_out(drawn, plain).astype(int) - plain).sum())

        def judge(threshold: float) -> str:
            """The decision; the evidence gets a colour scale on which that of the tiny model can be seen."""
            desk.ask(threshold=threshold)
            presence = desk.case.answer.presence
            bright = replace(presence, heat=replace(presence.heat, full_scale=presence.heat.peak))
            triage = replace(desk.case.answer, presence=bright)
            desk.store.change(desk.tab.state.case, lambda c: c.with_answer(c.index, c.options, triage))
            return presence.decision

        assert judge(0.01) == "stroke"
        whole = glow()
        assert whole > 0
        assert glow(evidence=False) == 0
        assert judge(0.99) == "non-stroke"
        assert glow() == glow(evidence=None) == glow(evidence="yes") == 0
        # The tiny model's evidence is too weak to be seen on its own scale: how strongly it is drawn is what is asked.
        presence = desk.case.answer.presence
        assert presence.lit(presence.heat) == presence.lit(presence.heat, asked=False) == 0
        assert presence.strength(presence.heat.class_name) < presence.lit(presence.heat, asked=True) == 0.25

    def test_nothing_to_take_before_the_reader_commits(self, desk):
        desk.open(EXAMPLES / "hemorrhage.dcm", reader_first=True)
        assert takeaway.reply(desk.handlers.shown, desk.named(kind="json")) == {"error": text.HIDDEN}

    def test_a_file_is_of_the_slice_it_names_or_there_is_none(self, desk):
        """A reader who goes to another slice and saves at once gets that slice's file or a sentence."""
        desk.open(EXAMPLES / NAME_SERIES)
        before = desk.named(kind="json")
        desk.ask(index=3)
        for late in (before, desk.named(kind="json", sequence=77), desk.named(kind="json", index=4)):
            assert takeaway.reply(desk.handlers.shown, late) == {"error": text.NOT_YET}
        reply = takeaway.reply(desk.handlers.shown, desk.named(kind="json"))
        body = json.loads(base64.b64decode(reply["data"]))
        assert (body["slice"], reply["index"]) == (4, 3)
        desk.open(EXAMPLES / "normal.dcm")
        assert takeaway.reply(desk.handlers.shown, before) == {"error": text.NOT_YET}


@pytest.fixture(scope="module")
def page():
    return app.build(Service(Settings()), Uploads())


class TestWhatIsOff:
    def test_nothing_is_stored_sent_or_published_by_gradio(self, page):
        options = app.page_options()
        for name in ("show_error", "run_history", "enable_monitoring", "ssr_mode", "pwa"):
            assert options[name] is False
        assert options["footer_links"] == []
        assert options["allowed_paths"] == []
        assert page.analytics_enabled is False
        assert page.delete_cache == app.DELETE_CACHE

    def test_every_event_is_private_and_takes_nothing_from_the_browser(self, page):
        for function in page.fns.values():
            assert function.api_visibility == "private", function
            assert function.queue is False, function
            assert function.inputs == [], function
        assert page.api_open is False

    def test_uploads_without_extension_are_let_through(self):
        assert "accept=" not in (STATIC / "rail.html").read_text()

    def test_no_address_outside_this_server_in_anything_sent(self):
        sent = [path.read_text(encoding="utf-8") for path in STATIC.iterdir()]
        sent += [theme.css(), theme.head(), viewer.scripts()]
        for words in sent:
            found = set(re.findall(r"https?://[^\s'\"]+", words)) - {"http://www.w3.org/2000/svg"}
            assert not found

    def test_the_theme_asks_for_no_font(self):
        assert "fonts.googleapis" not in theme.theme()._get_theme_css()
        assert not theme.theme()._stylesheets


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours #rrggbb, 1 to 21 (WCAG 2.2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class TestLooksAndWords:
    @pytest.mark.parametrize("palette", [theme.PALETTE, theme.LIGHT], ids=["night", "day"])
    @pytest.mark.parametrize("ground", ["ground", "panel", "raised"])
    @pytest.mark.parametrize("ink", ["text", "dim", "accent", "stroke", "clear", "alarm"])
    def test_letters_have_contrast_aa(self, palette, ground, ink):
        assert contrast(palette[ink], palette[ground]) >= 4.5

    @pytest.mark.parametrize("palette", [theme.PALETTE, theme.LIGHT], ids=["night", "day"])
    def test_what_is_chosen_and_lines_that_carry_meaning_are_seen(self, palette):
        assert contrast(palette["chosen-ink"], palette["chosen"]) >= 4.5
        assert contrast(palette["accent-ink"], palette["accent"]) >= 4.5
        for line in ("edge", "bar", "bar-over"):
            assert contrast(palette[line], palette["panel"]) >= 3

    def test_nobody_is_told_what_they_have(self):
        said = " ".join(str(value) for name, value in vars(text).items() if name.isupper()).lower()
        for forbidden in ("you have", "you do not have", "low confidence", "treat with", "should be treated"):
            assert forbidden not in said

    def test_the_notice_is_in_the_bar_and_examples_are_called_synthetic(self):
        assert "Research use only. Not a medical device." in theme.brand()
        assert "Synthetic" in examples.note()
        assert [e.path.name for e in examples.bundled()] == list(text.EXAMPLE_LABELS)

    def test_a_title_never_holds_a_file_name(self):
        assert text.title(picture(16)) == "ARRAY 16 × 16, HU"

    def test_heat_message_is_plain_json(self):
        heat = Heat(np.ones((2, 3, 3), np.float32), ("A", "B"), "stroke", "gradcam", np.eye(2, 3), 96, 2.0)
        sent = viewer._heat(heat, 4)
        assert json.loads(json.dumps(sent))["grid"] == [3, 3]
        assert sent is not None
        assert sent["index"] == 4

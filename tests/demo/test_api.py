"""The routes as a client meets them: answers, refusals, limits, overload, and what the log keeps. Random weights."""

from __future__ import annotations

import base64
import io
import logging
import math
import pickle
import re
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from demo import zerogpu
from demo.server import build_api
from demo.service import Options, Service, ServiceState
from demo.settings import Settings, build_parser, parse
from strokenext.show import words
from tests.helpers import toy
from tests.helpers.places import EXAMPLES
from tests.helpers.reading import cut_out, stands_on

PNG = (EXAMPLES / "hemorrhage.png").read_bytes()
DICOM = (EXAMPLES / "hemorrhage.dcm").read_bytes()
LIMIT = 4 * 2**20
pytestmark = pytest.mark.usefixtures("tiny_assets")


@pytest.fixture(scope="module")
def ready(tiny_assets):
    """A started client with both models loaded, and its service."""
    app, service = build_api(Settings(device="cpu", max_upload=LIMIT, workers=2, queue=8))
    with TestClient(app) as client:
        assert service.wait(60).status == "ready", service.state().message
        yield client, service


@pytest.fixture
def client(ready):
    return ready[0]


def post(client: TestClient, data: bytes = DICOM, field: str = "file", name: str = "slice", **options: object):
    return client.post("/predict", files={field: (name, data)}, data={k: str(v) for k, v in options.items()})


def sentence(response, status: int) -> str:
    """The error's sentence, after checking that the answer has the one shape and no trace of the code."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    message = body["error"]["message"]
    assert message[0].isupper()
    assert message.endswith(".")
    assert not re.search(r"Traceback|File \"|site-packages|/tmp/|Error\(", response.text)
    return message


class TestAnswers:
    def test_presence_of_a_dicom_slice(self, client):
        body = post(client, force=True).json()
        assert body["class"] in {"stroke", "non-stroke"}
        assert body["confidence"] == pytest.approx(body["probabilities"][body["class"]])
        assert sum(body["probabilities"].values()) == pytest.approx(1)
        assert body["task"] == "presence"
        assert body["notice"] == "Research use only. Not a medical device."
        assert body["heat"]["peak"] >= 0
        assert body["overlay"] is None
        for key in ("decision", "label", "threshold", "band", "interval", "logit", "gate", "input", "provenance"):
            assert key in body

    def test_low_threshold_of_the_classic_service(self, client):
        """With threshold 0.05 the class is "stroke" when the probability of stroke exceeds 0.05."""
        for field in ("file", "image"):
            body = post(client, PNG, field, threshold=0.05, force=True).json()
            assert body["class"] == ("stroke" if body["probability"] > 0.05 else "non-stroke")
            assert body["threshold"] == 0.05

    @pytest.mark.parametrize(("p", "named"), [(0.06, "stroke"), (0.04, "non-stroke")])
    def test_class_and_confidence_at_that_threshold_do_not_depend_on_the_band(self, monkeypatch, p, named):
        """The model is undecided about both (its band is 0.1 to either side); the classic answer is a class."""
        app, service = build_api(Settings(device="cpu"))
        service._models = {"presence": toy.predictor(log_odds=2 * math.log(p / (1 - p)))}  # temperature 2
        service._state = ServiceState("ready", presence=True)
        monkeypatch.setattr(service, "decode", lambda source, **_: toy.head())
        body = post(TestClient(app), PNG, "image", threshold=0.05, force=True).json()
        assert (body["class"], body["decision"]) == (named, "indeterminate")
        assert body["confidence"] == pytest.approx(p if named == "stroke" else 1 - p, abs=1e-4)

    def test_options_are_taken_from_the_address_too(self, client):
        body = client.post("/predict?threshold=1&explain=false&force=1", files={"file": DICOM}).json()
        assert body["class"] == "non-stroke"
        assert body["heat"] is None

    def test_overlay_is_a_png_of_the_slice_in_its_frame(self, client):
        body = post(client, PNG, overlay=True, force=True, explain=False).json()
        picture = Image.open(io.BytesIO(base64.b64decode(body["overlay"])))
        assert picture.format == "PNG"
        plain = np.asarray(Image.open(io.BytesIO(PNG)).convert("RGB"))
        np.testing.assert_array_equal(cut_out(np.asarray(picture), plain), plain)
        assert stands_on(np.asarray(picture), words.NOTICE, 14)
        assert stands_on(np.asarray(picture), f"Input {body['input']['sha256'][:12]}", 14, bold=True)

    def test_the_overlay_of_a_series_says_which_slice_it_is_and_where(self, client):
        data = (EXAMPLES / "series_hemorrhage.zip").read_bytes()
        body = post(client, data, overlay=True, force=True).json()
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["overlay"]))))
        place = f"Slice {body['peak'] + 1} of 16, at {body['positions_mm'][body['peak']]:.1f} mm"
        assert stands_on(picture, place, 14)
        assert all(stands_on(picture, letter, 14, bold=True) for letter in "RLAP")

    def test_triage_asks_the_subtype_when_presence_is_positive(self, client):
        body = post(client, task="triage", threshold=0, force=True).json()
        assert body["class"] == body["presence"]["label"] == "stroke"
        assert set(body["subtype"]["probabilities"]) == {"ischemic", "hemorrhagic"}
        assert post(client, task="triage", threshold=1, force=True).json()["subtype"] is None

    def test_a_zip_is_answered_slice_by_slice(self, client):
        data = (EXAMPLES / "series_hemorrhage.zip").read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            count = sum(not name.endswith("/") for name in archive.namelist())
        body = post(client, data, task="triage", force=True, threshold=0, overlay=True).json()
        assert len(body["slices"]) == count
        assert body["slices"][body["peak"]]["probability"] == max(s["probability"] for s in body["slices"])
        assert body["subtype"]["task"] == "subtype"
        assert base64.b64decode(body["overlay"]).startswith(b"\x89PNG")

    def test_the_other_studies_of_a_zip_and_every_file_not_judged_are_listed(self, client):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("a/hemorrhage.dcm", DICOM)
            archive.writestr("b/normal.dcm", (EXAMPLES / "normal.dcm").read_bytes())
            archive.writestr("notes.txt", "words " * 99)
        body = post(client, target.getvalue(), explain=False, force=True).json()
        assert len(body["slices"]) == 1
        assert [(one["study"], one["series"], one["images"]) for one in body["others"]] == [(2, 2, 1)]
        assert {item["name"] for item in body["left_out"]} == {"normal.dcm", "notes.txt"}
        assert {"several-studies", "several-series"} <= {c["code"] for c in body["cautions"]}

    def test_what_the_gate_refuses_has_a_reason_and_no_number(self, client):
        buffer = io.BytesIO()
        Image.new("L", (256, 256), 0).save(buffer, "PNG")
        response = post(client, buffer.getvalue())
        body = response.json()
        assert response.status_code == 200
        assert body["decision"] == "refused"
        assert body["class"] is body["confidence"] is body["probabilities"] is None
        assert len(body["gate"]["reason"]) > 10

    def test_answers_are_never_cached_or_sniffed(self, client):
        headers = post(client, force=True).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in post(client, force=True).headers


def bomb() -> bytes:
    """A zip of 64 KiB that would unpack to 64 MiB a thousand times over."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(100):
            archive.writestr(f"{number}.dcm", bytes(2**20))
    return buffer.getvalue()


class TestRefusals:
    @pytest.mark.parametrize(
        "data",
        [b"", PNG[:500], PNG[:20], DICOM[:3000], b"<html><script>alert(1)</script>", b"GIF89a", b"\x00" * 4096, bomb()],
        ids=["empty", "cut-png", "png-magic", "cut-dicom", "html", "gif-magic", "zeros", "zip-bomb"],
    )
    def test_a_file_that_is_no_image(self, client, data):
        response = post(client, data)
        assert response.status_code in {400, 413}
        sentence(response, response.status_code)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"threshold": "nan"}, "from 0 to 1"),
            ({"threshold": "1.01"}, "from 0 to 1"),
            ({"threshold": "-inf"}, "from 0 to 1"),
            ({"threshold": "high"}, "from 0 to 1"),
            ({"task": "diagnosis"}, "presence, subtype, triage"),
            ({"explain": "perhaps"}, "explain"),
            ({"colour": "red"}, "options are"),
        ],
    )
    def test_a_wrong_option(self, client, options, words):
        assert words in sentence(post(client, **options), 400)

    def test_no_file(self, client):
        assert "'file'" in sentence(client.post("/predict"), 400)
        assert "'file'" in sentence(client.post("/predict", files={"picture": PNG}), 400)
        assert "'file'" in sentence(client.post("/predict", data={"file": "text"}), 400)
        assert "'file'" in sentence(client.post("/predict", json={"file": 1}), 400)

    def test_many_parts(self, client):
        sentence(client.post("/predict", files=[("file", PNG), ("file", PNG)]), 400)
        sentence(client.post("/predict", files={"file": PNG}, data={str(n): "x" for n in range(100)}), 400)
        sentence(client.post("/predict", files={"file": PNG}, data={"task": "x" * 100_000}), 400)

    def test_broken_form(self, client):
        kind = {"content-type": "multipart/form-data"}
        sentence(client.post("/predict", content=b"nonsense", headers=kind), 400)
        cut = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
        sentence(client.post("/predict", content=cut, headers={"content-type": "multipart/form-data; boundary=x"}), 400)

    def test_too_large_by_its_word_and_by_its_bytes(self, client):
        assert "4 MiB" in sentence(post(client, bytes(LIMIT + 2**20)), 413)

        def endless():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(6):
                yield bytes(2**20)

        kind = {"content-type": "multipart/form-data; boundary=x"}
        assert "4 MiB" in sentence(client.post("/predict", content=endless(), headers=kind), 413)

    def test_absurd_length_is_answered_at_once(self, client):
        headers = {"content-length": str(10**18), "expect": "100-continue"}
        sentence(client.post("/predict", content=b"", headers=headers), 413)

    def test_wrong_address_and_wrong_method(self, client):
        assert "/docs" in sentence(client.get("/nothing"), 404)
        response = client.get("/predict")
        sentence(response, 405)
        assert response.headers["allow"] == "POST"
        sentence(client.post("/health"), 405)
        assert client.head("/health").status_code == 200

    def test_unforeseen_failure_is_a_sentence_and_its_text_stays_out_of_the_log(self, ready, caplog, monkeypatch):
        client, service = ready

        def fail(*_: object) -> None:
            raise RuntimeError("DOE_JANE.dcm".lower())

        monkeypatch.setattr(service, "_compute", fail)
        assert "failed" in sentence(post(client), 500)
        assert "RuntimeError" in caplog.text
        assert "doe_jane" not in caplog.text


class TestState:
    def test_health_and_models(self, client):
        health = client.get("/health").json()
        assert health["ready"] is True
        assert health["status"] == "ready"
        assert health["models"] == {"presence": True, "subtype": True}
        assert health["device"] == "cpu"
        found = client.get("/models").json()
        assert {c["name"] for c in found["bundled"]} >= {"strokenext-atto-presence", "strokenext-atto-subtype"}
        assert {r["name"]: r["params"] for r in found["zoo"]}["strokenext_large"] == 399_933_058

    def test_health_answers_while_the_models_load(self, monkeypatch):
        gate = threading.Event()
        load = Service._load_models
        monkeypatch.setattr(Service, "_load_models", lambda self: (gate.wait(60), load(self)))
        app, service = build_api(Settings(device="cpu"))
        with TestClient(app) as client:
            health = client.get("/health")
            assert health.status_code == 200
            assert (health.json()["ready"], health.json()["status"]) == (False, "loading")
            response = post(client)
            assert "loading" in sentence(response, 503)
            assert int(response.headers["retry-after"]) > 0
            gate.set()
            assert service.wait(60).status == "ready"
            assert post(client, force=True).status_code == 200

    def test_a_model_that_is_not_there_is_a_state_with_a_sentence(self):
        app, service = build_api(Settings(device="cpu", presence="no-such-model"))
        with TestClient(app) as client:
            assert service.wait(60).status == "failed"
            assert "no-such-model" in client.get("/health").json()["message"]
            sentence(post(client), 500)

    def test_without_a_subtype_model_presence_still_answers(self):
        app, service = build_api(Settings(device="cpu", subtype="no-such-model"))
        with TestClient(app) as client:
            assert service.wait(60).status == "ready"
            assert client.get("/health").json()["models"] == {"presence": True, "subtype": False}
            assert post(client, force=True).status_code == 200
            assert "subtype" in sentence(post(client, task="triage"), 500)

    def test_docs_need_no_other_host(self, client):
        page = client.get("/docs").text
        assert "/predict" in page
        assert "threshold" in page
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
        assert "<script" not in page
        spec = client.get("/openapi.json").json()
        assert set(spec["paths"]) == {"/health", "/predict", "/models"}
        assert {"200", "400", "413", "503"} <= set(spec["paths"]["/predict"]["post"]["responses"])


class TestPassword:
    def test_everything_but_health_asks_for_it(self):
        app, service = build_api(Settings(device="cpu", auth=("reader", "pass:wörd")))
        with TestClient(app) as client:
            service.wait(60)
            assert client.get("/health").status_code == 200
            for path in ("/models", "/docs", "/openapi.json"):
                response = client.get(path)
                sentence(response, 401)
                assert response.headers["www-authenticate"].startswith("Basic")
            sentence(post(client), 401)
            basic = lambda text: {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}  # noqa: E731
            assert client.get("/models", headers=basic("reader:pass:wörd")).status_code == 200
            for wrong in ("reader:pass", "x:pass:wörd", "", ":"):
                sentence(client.get("/models", headers=basic(wrong)), 401)
            sentence(client.get("/models", headers={"authorization": b"Bearer \xff"}), 401)


class TestManyAtOnce:
    def test_answers_equal_the_serial_ones(self, client):
        names = ["hemorrhage.dcm", "infarct.dcm", "normal.dcm", "hemorrhage.png"]
        ask = lambda name: post(client, (EXAMPLES / name).read_bytes(), force=True, overlay=True).json()  # noqa: E731
        alone = {name: ask(name) for name in names}
        with ThreadPoolExecutor(4) as pool:
            for name, body in zip(names * 2, pool.map(ask, names * 2), strict=True):
                assert body["logit"] == pytest.approx(alone[name]["logit"], abs=1e-5)
                assert body["heat"]["peak"] == pytest.approx(alone[name]["heat"]["peak"], abs=1e-5)
                assert body["input"]["sha256"] == alone[name]["input"]["sha256"]

    def test_more_than_the_queue_holds_are_turned_away(self, monkeypatch):
        app, service = build_api(Settings(device="cpu", workers=1, queue=1))
        go, inside = threading.Event(), threading.Semaphore(0)
        with TestClient(app) as client:
            service.wait(60)
            compute = service._compute

            def slow(*arguments: object):
                inside.release()
                go.wait(30)
                return compute(*arguments)

            monkeypatch.setattr(service, "_compute", slow)
            with ThreadPoolExecutor(6) as pool:
                calls = [pool.submit(post, client, force=True) for _ in range(6)]
                assert inside.acquire(timeout=30)
                turned_away = [c for c in calls if _ended(c)]
                go.set()
                statuses = sorted(c.result().status_code for c in calls)
            assert statuses[:2] == [200, 200]
            assert set(statuses[2:]) <= {429, 503}  # all are of one address, which may fill half of a queue
            assert len(turned_away) == 4  # at once, not after the others
            assert int(turned_away[0].result().headers["retry-after"]) > 0
            assert post(client, force=True).status_code == 200  # the slots came back


def _ended(call) -> bool:
    try:
        call.result(timeout=2)
    except TimeoutError:
        return False
    return True


def test_log_holds_no_name_of_file_or_patient(client, caplog):
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(DICOM))
    dataset.PatientName, dataset.PatientID = "ROE^RICHARD", "MRN-778899"
    dataset.add_new((0x0010, 0x0030), "DA", "1945013")  # an invalid date, which parsers like to quote
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    caplog.clear()  # pydicom has just complained about what this test wrote
    with caplog.at_level(logging.DEBUG):
        response = post(client, buffer.getvalue(), name="ROE_RICHARD_head.dcm", force=True)
        post(client, buffer.getvalue()[:5000], name="ROE_RICHARD_cut.dcm")
    for secret in ("ROE", "RICHARD", "778899", "1945013"):
        assert secret not in caplog.text
        assert secret not in response.text
    assert "predict presence" in caplog.text


class TestSettings:
    def test_flag_before_variable_before_default(self):
        variables = {"STROKENEXT_PORT": "9000", "STROKENEXT_DEVICE": "cpu", "STROKENEXT_MAX_UPLOAD": "0.5"}
        found = parse(["--port", "9001"], variables)
        assert (found.port, found.device, found.host, found.max_upload) == (9001, "cpu", "127.0.0.1", 2**19)

    def test_on_a_space_it_listens_to_the_outside(self):
        assert parse([], {"SPACE_ID": "owner/space"}).host == "0.0.0.0"
        assert parse([], {"GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7861"}).port == 7861

    def test_help_names_every_variable_and_no_password(self):
        text = build_parser({"STROKENEXT_AUTH": "reader:secret"}).format_help()
        assert "secret" not in text
        for name in ("HOST", "PORT", "DEVICE", "PRESENCE", "SUBTYPE", "AUTH", "DATA_DIR", "MAX_UPLOAD"):
            assert f"STROKENEXT_{name}" in text

    @pytest.mark.parametrize(
        "wrong", ["--port=70000", "--device=gpu", "--auth=reader", "--workers=0", "--max-upload=0"]
    )
    def test_a_wrong_value_is_usage(self, wrong, capsys):
        with pytest.raises(SystemExit) as stop:
            parse([wrong], {})
        assert stop.value.code == 2
        assert wrong.split("=")[0] in capsys.readouterr().err


class TestZeroGpu:
    def test_elsewhere_the_function_is_left_alone(self, monkeypatch):
        monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

        def function() -> int:
            return 1

        assert zerogpu.gpu(function) is function

    def test_there_the_package_decorates_and_is_told_when_all_is_in_place(self, monkeypatch):
        calls: list[object] = []
        spaces = ModuleType("spaces")
        spaces.zero = SimpleNamespace(startup=lambda: calls.append("startup"))  # type: ignore[attr-defined]
        spaces.GPU = lambda f, duration: lambda: (calls.append(duration), f())[1]  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "spaces", spaces)
        monkeypatch.setenv("SPACES_ZERO_GPU", "true")
        assert zerogpu.gpu(lambda: 7, seconds=30)() == 7
        zerogpu.startup()
        assert calls == [30, "startup"]

    def test_question_and_answer_can_travel_to_another_process(self, ready):
        _, service = ready
        result = service.predict(DICOM, "triage", Options(threshold=0.0, force=True))
        for value in (result.image, Options(), result.answer):
            again = pickle.loads(pickle.dumps(value))
            if hasattr(value, "to_json"):
                assert again.to_json() == value.to_json()

"""Malformed bodies at every route that takes one: a problem with a sentence, nothing of a traceback anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from starlette.routing import Mount
from starlette.testclient import TestClient

from demo.door import OPEN
from demo.guard import bodies
from demo.server import build, build_api
from demo.settings import Settings

PAGE = {"/gradio_api/upload", "/gradio_api/run/predict", "/gradio_api/component_server", "/login"}
POSTS = [*sorted(PAGE), "/gradio_api/component_server/", "/predict"]
BOUNDARY = "multipart/form-data; boundary=x"
CALL = {"session_hash": "abc", "data": {}, "component_id": 1, "fn_name": "page_open"}
JSON: list[bytes] = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b"\xff\xfe", b'{"a":' + b"[" * 100_000, b'{"data":NaN}',
    b'{"data":[1e999],"fn_index":0}', b'{"data":1}', b'{"data":[]}', b'{"data":["\\ud800"],"session_hash":"\\ud800"}',
    *(json.dumps({"data": [], "session_hash": "abc"} | wrong).encode() for wrong in (
        {"fn_index": 99999}, {"fn_index": -1}, {"fn_index": "0"}, {"fn_index": True}, {"fn_index": None},
        {"fn_index": 0, "data": {}}, {"fn_index": 0, "data": [1] * 9}, {"fn_index": 0, "session_hash": [1]},
        {"fn_index": 0, "session_hash": ""}, {"fn_index": 0, "session_hash": "a b"}, {"fn_index": 0, "trigger_id": "x"},
        {"fn_index": 0, "event_data": 5},
    )),
    *(json.dumps(CALL | wrong).encode() for wrong in (
        {"component_id": 99999}, {"component_id": "1"}, {"component_id": None}, {"component_id": []},
        {"fn_name": "__class__"}, {"fn_name": None}, {"fn_name": 3}, {"data": None}, {"data": [1]},
        {"session_hash": None}, {"session_hash": "a" * 65},
    )),
]  # fmt: skip
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc'
FORMS: list[tuple[bytes, str]] = [
    (b"", BOUNDARY), (b"--x\r\n", BOUNDARY), (PART, BOUNDARY), (b"--y\r\n\r\n", BOUNDARY), (b"\r\n" * 1000, BOUNDARY),
    (b"junk", "multipart/form-data"), (b"junk", "multipart/form-data; boundary="),
    (b"a", "multipart/form-data; boundary=" + "x" * 300), (b"x", 'multipart/form-data; boundary="'),
    (b"--x\r\nno header\r\n\r\nabc\r\n--x--\r\n", BOUNDARY), (b"--x\r\n:\r\n\r\nabc\r\n--x--\r\n", BOUNDARY),
    (b"--x\r\nContent-Disposition: attachment\r\n\r\nabc\r\n--x--\r\n", BOUNDARY),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n", BOUNDARY),
    (PART.replace(b'"a"', b'"' + b"a" * 5000 + b'"') + b"\r\n--x--\r\n", BOUNDARY),
    (PART.replace(b'"file"', b'"\xff\xfe"') + b"\r\n--x--\r\n", BOUNDARY + "; charset=nope"),
    (b"a=%zz&&=", "application/x-www-form-urlencoded"), (b"x", "text/plain"), (b"x", ";;;"), (b"{", ""),
]  # fmt: skip


@pytest.fixture(scope="module", params=[None, ("reader", "secret")], ids=["open", "password"])
def client(request, tmp_path_factory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setattr("demo.service.Service.start", lambda _self: None)
        app, _ = build(Settings(auth=request.param))
        with TestClient(app, raise_server_exceptions=False) as client:
            yield client


def test_all_that_takes_a_body_is_asked_here():
    assert {path for path in POSTS if path != "/predict"} >= PAGE
    patterns = [path for methods, path in OPEN if "POST" in methods]
    assert patterns == [r"/login/?", r"/gradio_api/(upload|run/predict|component_server/?)"]


@pytest.mark.parametrize("path", POSTS)
def test_a_malformed_body_is_a_problem_with_a_sentence(client, path, caplog, capsys):
    forms = [(body, "application/json") for body in JSON] + FORMS
    for body, kind in forms:
        if path == "/gradio_api/component_server" and body == json.dumps(CALL).encode():
            continue
        reply = client.post(path, content=body, headers={"content-type": kind})
        asked = (path, body[:60], kind, reply.status_code, reply.text[:200])
        if reply.status_code in (200, 302, 503):  # an empty upload, a login without a password, models that load
            assert path in {"/gradio_api/upload", "/login", "/predict"}, asked
            continue
        assert 400 <= reply.status_code < 500, asked
        error = reply.json()["error"]
        assert set(error) == {"code", "message"}, asked
        assert error["message"][0].isupper(), asked
        assert error["message"].endswith("."), asked
    said = caplog.text + "".join(capsys.readouterr())
    assert "Traceback" not in said
    assert "unforeseen" not in said


def test_a_refusal_of_gradio_is_a_problem_too(client):
    for path in ("/static/nothing.js", "/assets/..%2f..%2fetc/passwd", "/assets/nothing"):
        reply = client.get(path)
        assert reply.status_code in (403, 404)
        assert reply.json()["error"]["message"].endswith(".")


def test_the_pages_own_calls_pass():
    """Every function that the browser may ask for, in the form in which Gradio's script asks."""
    app, _ = build(Settings())
    blocks = next(route.app for route in app.routes if isinstance(route, Mount)).app.get_blocks()
    functions = list(blocks.fns.values())
    assert functions
    for function in functions:
        call = {"data": [None] * len(function.inputs), "fn_index": function._id, "session_hash": "0a1b2c",
                "trigger_id": 3, "event_data": None, "event_id": "x", "batched": True}  # fmt: skip
        read = bodies.call(json.dumps(call).encode(), blocks, component=False)
        assert set(read) == {"data", "fn_index", "session_hash", "trigger_id", "event_data"}


def test_what_nobody_foresaw_is_a_problem_and_its_text_stays_here(monkeypatch, caplog):
    def fail(_service: object) -> None:
        raise RuntimeError("DOE_JANE.dcm".lower())  # the source line is in the log

    monkeypatch.setattr("demo.service.Service.state", fail)
    app, _ = build_api(Settings())
    reply = TestClient(app).get("/health")
    assert reply.status_code == 500
    assert reply.json()["error"]["message"].endswith("where.")
    assert "RuntimeError" in caplog.text
    assert "doe_jane" not in caplog.text + reply.text

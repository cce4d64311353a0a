"""The table of paths, the document that describes it, and questions that make no sense."""

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from gateway_parts import Parts, kept, session
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mitmproxy import http

from livegate.admin import api as apis
from livegate.admin.api import Api
from livegate.admin.export import asset, export_page
from livegate.phoenix.rendered.tree import Tree

DOCUMENT = json.loads(asset("openapi.json"))
BESIDE = {("GET", "/api/v1/live")}
"""Answered by a handler of its own: it is a WebSocket."""


def test_the_document_has_each_path_and_method_and_no_other(parts: Parts) -> None:
    answered = {(method, path) for method, path, _ in Api(parts.state).table}
    written = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert answered | BESIDE == written


def test_the_document_is_whole() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    ids = [one["operationId"] for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))
    for path, methods in DOCUMENT["paths"].items():
        for one in methods.values():
            named = {each["name"] for each in one.get("parameters", ()) if each["in"] == "path"}
            assert {part[1:-1] for part in path.split("/") if part.startswith("{")} == named
            assert {"401", "403"} <= one["responses"].keys()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference, place in _references(DOCUMENT):
        here: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            assert part in here, (reference, place)
            here = here[part]
    used = {reference for reference, _ in _references(DOCUMENT)}
    for kind in ("schemas", "responses"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used, "nothing is left over"


def test_each_object_of_an_answer_is_closed() -> None:
    for schema in _objects(DOCUMENT["components"]["schemas"]):
        assert "additionalProperties" in schema, schema


def _references(value: Any, place: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        own = [(value["$ref"], place)] if "$ref" in value else []
        return own + [each for key, item in value.items() for each in _references(item, f"{place}/{key}")]
    return [each for item in value for each in _references(item, place)] if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if value.get("type") in ("object", ["object", "null"]) else []
        return own + [each for item in value.values() for each in _objects(item)]
    return [each for item in value for each in _objects(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", "/api/v1/sessions", "after=-1", 400),
        ("GET", "/api/v1/sessions", "after=1e3", 400),
        ("GET", "/api/v1/sessions", "limit=99999999999999999", 400),
        ("GET", "/api/v1/sessions", "after=%EF%BC%91", 400),
        ("GET", "/api/v1/sessions", "&".join(f"a{n}=1" for n in range(50)), 400),
        ("GET", "/api/v1/sessions/1/frames", "from=x", 400),
        ("GET", "/api/v1/sockets", "count=x", 400),
        ("GET", "/api/v1/incidents", "after=x", 400),
        ("GET", "/api/v1/sessions/0x1", "", 404),
        ("GET", "/api/v1/sessions/%2E%2E", "", 404),
        ("GET", "/api/v1/sessions/9999999999999999", "", 404),
        ("GET", "/api/v1/sessions/7/export", "", 404),
        ("GET", "/api/v1/sessions/1/frames/0", "", 404),
        ("GET", "/api/v1/sessions/../settings", "", 404),
        ("GET", "//api/v1/settings", "", 404),
        ("GET", "/api/v1/settings/", "", 404),
        ("GET", "/api/v1/drain", "", 405),
        ("PUT", "/api/v1/drain", "", 405),
        ("POST", "/api/v1/overview", "", 405),
        ("BREW", "/healthz", "", 405),
    ],
)
async def test_what_makes_no_sense_is_said_so(parts: Parts, method: str, path: str, query: str, status: int) -> None:
    parts.know(session(1))
    told = await Api(parts.state).answer(method, path, query)
    assert told.status == status
    assert set(json.loads(told.body)) == {"error"}
    assert ("Allow" in told.headers) == (status == 405)


async def test_allow_names_what_is_allowed(parts: Parts) -> None:
    api = Api(parts.state)
    assert (await api.answer("POST", "/metrics")).headers == {"Allow": "GET, HEAD"}
    assert (await api.answer("GET", "/api/v1/sockets/x/close")).headers == {"Allow": "POST"}
    assert (await api.answer("HEAD", "/version")).status == 200


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(["", "application/json", "text/plain", "application/json; charset=utf-8", "ä"]),
)
def test_no_body_makes_a_close_fail(parts: Parts, body: bytes, kind: str) -> None:
    told = asyncio.run(Api(parts.state).answer("POST", "/api/v1/sockets/none/close", "", body, kind))
    assert told.status in (400, 404, 415)


async def test_a_long_body_and_one_for_a_drain_are_refused(parts: Parts) -> None:
    api = Api(parts.state)
    assert (await api.answer("POST", "/api/v1/drain", "", b" " * (apis.MAX_BODY_BYTES + 1), apis.JSON)).status == 413
    assert (await api.answer("POST", "/api/v1/drain", "", b'{"now": true}', apis.JSON)).status == 400


def known_session(parts: Parts, frames: int, page: str = "x") -> None:
    parts.know(session(1))
    for n in range(frames):
        tree = Tree.join({"s": [f"<p>{page}</p></script><!--{'y' * 200 * (n - 1)}"]}) if n else None
        parts.record(1, kept(n, page=tree))


async def test_a_frame_has_the_page_before_and_after_it(parts: Parts) -> None:
    known_session(parts, 3)
    api = Api(parts.state)
    first, second = [await api.frame(1, n) for n in (0, 1)]
    assert first["page"]["html"] == "" and "no join" in first["page"]["why"]
    assert second["page"]["html"].startswith("<p>x</p>") and second["before"] == first["page"]
    broken = Tree.join({"s": ["a", "b"], "0": 7})
    parts.record(1, kept(3, b"\xff", broken, text=False))
    broken.root["0"] = object()
    assert (await api.frame(1, 3))["raw"] == "1 bytes: ff"


async def test_an_export_is_one_file_whose_data_cannot_end_its_script(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_session(parts, 6)
    monkeypatch.setattr(apis, "MAX_EXPORTED_BYTES", 1000)
    told = await Api(parts.state).answer("GET", "/api/v1/sessions/1/export")
    assert told.status == 200 and told.headers["Content-Disposition"].startswith("attachment")
    text = told.body.decode()
    start = text.index('id="exported">') + len('id="exported">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert [frame["n"] for frame in data["full"]] == list(range(6))
    whys = [frame["why"] for frame in data["full"]]
    assert "left out" in whys[-1] and whys[1] == "", "bounded, and says so"
    assert "src=" not in text.partition('id="exported"')[0].partition("<body>")[0]


def test_a_page_that_has_changed_is_not_exported_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegate.admin.export.asset", lambda _: b"<html></html>")
    with pytest.raises(ValueError, match="has no"):
        export_page({})


async def test_the_looks_of_a_page_bring_no_secret(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    sheet = http.Response.make(200, 'a::after { content: "token=CANARYcanary" }')
    body = {"class": "dark", "data-user-token": "CANARYcanary", "data-x": "Bearer CANARYcanary"}
    monkeypatch.setattr(parts.history.stylesheets, "get", lambda _: ([sheet], {"lang": "en"}, body))
    told = (await Api(parts.state).answer("GET", "/api/v1/sessions/1/dress")).body
    assert b"CANARY" not in told
    looks = json.loads(told)
    assert (looks["html"], looks["body"]["class"]) == ({"lang": "en"}, "dark")

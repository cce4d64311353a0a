"""Resources of the API: the documents generated from them, invalid requests, frames and exports."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from admin_client import AdminClient
from gateway_parts import Parts, kept, session
from mitmproxy import http

from livegate.admin import api as apis
from livegate.admin.handlers import JSON
from livegate.admin.session_export import asset, export_page
from livegate.phoenix.rendered.tree import Tree

CHECKOUT = Path(__file__).resolve().parents[3]
DOCUMENT = json.loads(asset("openapi.json"))


def script() -> Any:
    spec = importlib.util.spec_from_file_location("api_reference", CHECKOUT / "scripts" / "api_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_files_are_current() -> None:
    for file, text in script().generated().items():
        assert file.read_text() == text, f"{file.name} is out of date: run `make docs`"


def test_each_body_and_parameter_is_described_in_the_reference() -> None:
    text = (CHECKOUT / "docs" / "reference" / "api.md").read_text()
    for path, methods in DOCUMENT["paths"].items():
        assert path in text
        for operation in methods.values():
            assert operation["summary"]
            assert all(each["description"] for each in operation.get("parameters", ()))


def test_the_document_is_consistent() -> None:
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
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used, "nothing is unused"


def test_each_object_of_a_response_is_closed() -> None:
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
async def test_an_invalid_request_is_refused_with_a_reason(
    api: AdminClient, method: str, path: str, query: str, status: int
) -> None:
    response = await api(method, path, query)
    assert response.status == status
    assert set(response.json) == {"error"}
    assert ("Allow" in response.headers) == (status == 405)


async def test_a_refused_method_names_the_allowed_ones(api: AdminClient) -> None:
    assert (await api("POST", "/metrics")).headers["Allow"] == "GET, HEAD"
    assert (await api("GET", "/api/v1/sockets/x/close")).headers["Allow"] == "POST"
    assert (await api("HEAD", "/version")).status == 200


CLOSE = "/api/v1/sockets/none/close"


@pytest.mark.parametrize("kind", ["", JSON, "text/plain", "application/json; charset=utf-8", "multipart/form-data"])
async def test_no_body_makes_a_command_fail(api: AdminClient, kind: str) -> None:
    for body in (
        b"",
        b"{",
        b"\xff",
        b"[" * 50_000,
        b"null",
        b'{"code": 1e400}',
        b'{"reason": "\\ud800"}',
        b'"x"',
        b"\0",
    ):
        for path in (CLOSE, "/api/v1/drain"):
            if (path, body) != ("/api/v1/drain", b""):
                assert (await api("POST", path, "", body, kind)).status in (400, 404, 415), (path, body)


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_a_command_with_another_content_type_is_refused_since_forms_can_send_it(
    api: AdminClient, body: bytes
) -> None:
    for path in (CLOSE, "/api/v1/drain"):
        assert (await api("POST", path, "", body, "text/plain")).status == 415


async def test_a_drain_with_arguments_is_refused(api: AdminClient) -> None:
    assert (await api("POST", "/api/v1/drain", "", b'{"now": true}', JSON)).status == 400


async def test_the_deprecated_path_of_the_style_is_an_alias(parts: Parts, api: AdminClient) -> None:
    parts.know(session(1))
    old, new = [await api("GET", f"/api/v1/sessions/1/{name}") for name in ("dress", "style")]
    assert (old.status, old.json) == (200, new.json)


def known_session(parts: Parts, frames: int, page: str = "x") -> None:
    parts.know(session(1))
    for n in range(frames):
        tree = Tree.join({"s": [f"<p>{page}</p></script><!--{'y' * 200 * (n - 1)}"]}) if n else None
        parts.record(1, kept(n, page=tree))


async def test_a_frame_has_the_page_before_and_after_it(parts: Parts) -> None:
    known_session(parts, 3)
    first, second = [await parts.state.frame(1, n) for n in (0, 1)]
    assert first.page.html == "" and "no join" in first.page.why
    assert second.page.html.startswith("<p>x</p>") and second.before == first.page
    broken = Tree.join({"s": ["a", "b"], "0": 7})
    parts.record(1, kept(3, b"\xff", broken, text=False))
    broken.root["0"] = object()
    assert (await parts.state.frame(1, 3)).raw == "1 bytes: ff"


async def test_an_export_is_one_file_whose_data_cannot_end_its_script(
    parts: Parts, api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_session(parts, 6)
    monkeypatch.setattr(apis, "MAX_EXPORTED_BYTES", 1000)
    response = await api("GET", "/api/v1/sessions/1/export")
    assert response.status == 200 and response.headers["Content-Disposition"].startswith("attachment")
    text = response.body.decode()
    start = text.index('id="exported">') + len('id="exported">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert [frame["n"] for frame in data["full"]] == list(range(6))
    whys = [frame["why"] for frame in data["full"]]
    assert "left out" in whys[-1] and whys[1] == "", "bounded, and says so"
    assert "src=" not in text.partition('id="exported"')[0].partition("<body>")[0]


def test_a_page_without_its_marks_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livegate.admin.session_export.asset", lambda _: b"<html></html>")
    with pytest.raises(ValueError, match="exactly once"):
        export_page({})


async def test_the_style_of_a_page_has_no_secret(
    parts: Parts, api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = http.Response.make(200, 'a::after { content: "token=CANARYcanary" }')
    body = {"class": "dark", "data-user-token": "CANARYcanary", "data-x": "Bearer CANARYcanary"}
    monkeypatch.setattr(parts.history.stylesheets, "get", lambda _: ([sheet], {"lang": "en"}, body))
    response = await api("GET", "/api/v1/sessions/1/style")
    assert b"CANARY" not in response.body
    assert (response.json["html"], response.json["body"]["class"]) == ({"lang": "en"}, "dark")

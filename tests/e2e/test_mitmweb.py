"""Everything that mitmweb can do works through its real listener while secrets are hidden, and none of it shows one."""

import asyncio
import gzip
import io
import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
from aiohttp import web
from backends import Backend
from browser import browser_page
from mitmproxy.io import FlowReader
from mitmweb_client import PASSWORD, Mitmweb, matching, routes, running, told
from playwright.sync_api import expect
from websockets.asyncio.client import connect

CANARY = "CANARYcanary0123456789"
COOKIE = f"_app_key={CANARY}01"
PAGE = f'<html><input name="user[password]" value="{CANARY}02"><p>the page</p></html>'
MARK = "⟪redacted-"


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    async def page(request: web.Request) -> web.Response:
        await backend._describe(request)
        headers = {"Set-Cookie": f"_app_key={CANARY}03", "Content-Encoding": "gzip", "X-Plain": "plain"}
        return web.Response(body=gzip.compress(PAGE.encode()), headers=headers, content_type="text/html")

    backend = Backend()
    backend.app.router.add_route("*", "/page/{tail:.*}", page)
    with backend:
        yield backend


@pytest.fixture(scope="module")
def mitmweb(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[Mitmweb]:
    settings = {"services": {"default": backend.url}, "rate_limit": {"user": None, "ip": None}}
    with running(tmp_path_factory.mktemp("mitmweb"), settings) as found:
        yield found


def ask(mitmweb: Mitmweb, path: str) -> None:
    body = json.dumps({"password": f"{CANARY}05", "name": "zed"}).encode()
    headers = {"Cookie": COOKIE, "X-Api-Key": f"{CANARY}06", "X-Plain": "plain", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{mitmweb.gateway.url}{path}", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def flow_of(mitmweb: Mitmweb, name: str) -> dict[str, Any]:
    ask(mitmweb, f"/page/{name}?token={CANARY}04&page=2")
    return mitmweb.flow(f"/page/{name}")


async def _socket(mitmweb: Mitmweb) -> None:
    url = f"ws://127.0.0.1:{mitmweb.gateway.port}/ws?token={CANARY}07"
    async with connect(url, proxy=None, additional_headers={"Cookie": COOKIE}) as socket:
        await socket.send(json.dumps({"password": f"{CANARY}08", "name": "zed"}))
        await socket.recv()


def test_every_path_of_mitmweb_answers_and_shows_no_secret(mitmweb: Mitmweb) -> None:
    """Each with what it should be asked, and once more with what is not there."""
    flow = flow_of(mitmweb, "all")["id"]
    asyncio.run(_socket(mitmweb))
    socket = mitmweb.flow("/ws", until=lambda flow: flow.get("websocket", {}).get("timestamp_end"))["id"]
    views = [view for view in mitmweb.ask("GET", "/state").json["contentViews"] if view != "auto"]
    dump = mitmweb.ask("GET", "/flows/dump")
    assert dump.status == 200
    assert len(list(FlowReader(io.BytesIO(dump.body)).stream())) == len(mitmweb.flows())
    nobody = "00000000-0000-0000-0000-000000000000"
    edit = {"comment": "looked at", "marked": ":heart:"}
    table: list[tuple[str, str, Any, int]] = [
        ("GET", "/", None, 200),
        ("POST", "/", b"", 200),
        ("GET", "/filter-help", None, 200),
        ("GET", "/updates", None, 400),  # not an upgrade
        ("GET", "/commands", None, 200),
        ("POST", "/commands/view.properties.length", {"arguments": []}, 200),
        ("POST", "/commands/options.load", {"arguments": []}, 200),
        ("GET", "/events", None, 200),
        ("GET", "/flows", None, 200),
        ("GET", "/flows.json", None, 200),
        ("GET", "/flows/dump", None, 200),
        ("GET", "/flows/dump?filter=~websocket", None, 200),
        ("GET", "/flows/dump?filter=(((", None, 400),
        ("POST", "/flows/resume", b"", 200),
        ("POST", "/flows/kill", b"", 200),
        ("PUT", f"/flows/{flow}", edit, 200),
        ("PUT", f"/flows/{flow}", {"nonsense": 1}, 400),
        ("PUT", f"/flows/{flow}", [], 400),
        ("PUT", f"/flows/{flow}", {"request": {"port": "x"}}, 400),
        ("PUT", f"/flows/{flow}", {"request": {"headers": [["a"]]}}, 400),
        ("PUT", f"/flows/{nobody}", edit, 404),
        ("POST", f"/flows/{flow}/resume", b"", 200),
        ("POST", f"/flows/{flow}/kill", b"", 200),
        ("POST", f"/flows/{flow}/duplicate", b"", 200),
        ("POST", f"/flows/{flow}/revert", b"", 200),
        *[
            ("POST", f"/flows/{nobody}/{what}", b"", 404)
            for what in ("resume", "kill", "duplicate", "revert", "replay")
        ],
        *[("GET", f"/flows/{flow}/{part}/content.data", None, 200) for part in ("request", "response")],
        *[("GET", f"/flows/{each}/messages/content.data", None, 404) for each in (flow, socket)],
        ("GET", f"/flows/{nobody}/request/content.data", None, 404),
        ("POST", f"/flows/{flow}/messages/content.data", b"x", 404),
        *[
            ("GET", f"/flows/{flow}/{part}/content/{view.replace(' ', '%20')}{tail}", None, 200)
            for part in ("request", "response")
            for view in ["auto", *views]
            for tail in (".json", "?lines=3")
            if "/" not in view and "." not in view
        ],
        ("GET", f"/flows/{flow}/messages/content/auto", None, 400),
        ("GET", f"/flows/{socket}/messages/content/auto.json", None, 200),
        ("GET", f"/flows/{socket}/messages/content/raw?lines=5", None, 200),
        ("GET", f"/flows/{socket}/response/content/auto", None, 200),
        ("POST", f"/flows/{flow}/response/content.data", b"uploaded", 200),
        ("GET", "/options", None, 200),
        ("PUT", "/options", {"anticache": False}, 200),
        ("PUT", "/options", {"keep_host_header": False}, 400),
        ("POST", "/options/save", b"", 200),
        ("GET", "/state", None, 200),
        ("GET", "/processes", None, 200),
        ("GET", "/executable-icon?path=/bin/true", None, 200),
        ("GET", "/executable-icon", None, 400),
        ("GET", "/livegate/", None, 200),
        ("GET", "/livegate/api/v1/sessions", None, 200),
        ("GET", "/livegate/api/v1/incidents", None, 200),
        ("POST", f"/flows/{flow}/replay", b"", 200),
        ("DELETE", f"/flows/{flow}", None, 200),
        ("DELETE", f"/flows/{nobody}", None, 404),
        ("POST", "/flows/dump", dump.body, 200),
        ("GET", "/flows", None, 200),
        ("POST", "/clear", b"", 200),
    ]
    for pattern, verbs in routes():
        for verb in verbs:
            assert any(method == verb and matching(pattern, path) for method, path, _, _ in table), (verb, pattern)
    seen = len(mitmweb.gateway.output.lines)
    for method, path, body, status in table:
        assert mitmweb.ask(method, path, body, strange=True).status == 403 or path == "/updates", (method, path)
        answer = mitmweb.ask(method, path, body)
        assert answer.status == status, (method, path, answer.text)
        assert CANARY not in answer.text, (method, path)
    for line in mitmweb.gateway.output.lines[seen:]:
        assert "Traceback" not in line
        assert CANARY not in line


def test_fields_are_edited_and_what_was_hidden_stays_as_it_was(mitmweb: Mitmweb, backend: Backend) -> None:
    flow = flow_of(mitmweb, "edit")
    where = f"/flows/{flow['id']}"
    fields = [[name, "changed" if name == "X-Plain" else value] for name, value in flow["request"]["headers"]]
    assert any(MARK in value for _, value in fields), "a browser sends back what it was shown"
    changes = {"method": "PUT", "path": flow["request"]["path"], "headers": fields}
    assert mitmweb.ask("PUT", where, {"request": changes}).status == 200
    answer = [[name, "changed" if name == "X-Plain" else value] for name, value in flow["response"]["headers"]]
    assert mitmweb.ask("PUT", where, {"response": {"code": 203, "headers": answer}}).status == 200
    after = mitmweb.flow("/page/edit")
    assert (after["request"]["method"], after["response"]["status_code"]) == ("PUT", 203)
    assert ["X-Plain", "changed"] in after["request"]["headers"]
    assert ["X-Plain", "changed"] in after["response"]["headers"]
    assert after["modified"]
    assert mitmweb.ask("POST", f"{where}/replay", b"").status == 200
    mitmweb.flow("/page/edit", until=lambda flow: flow["is_replay"] and flow.get("response"))
    asked = backend.requests[-1]
    assert asked["method"] == "PUT"
    assert f"token={CANARY}04&page=2" in json.dumps(asked), "the real values are sent"
    assert COOKIE in json.dumps(asked)
    assert f"{CANARY}06" in json.dumps(asked)
    assert MARK not in json.dumps(asked, ensure_ascii=False)
    assert mitmweb.ask("POST", f"{where}/revert", b"").status == 200


@pytest.mark.parametrize(
    "edit",
    [
        {"comment": f"{MARK}9-chars-abcdef⟫"},
        {"request": {"headers": [["X-Other", f"{MARK}30-chars-abcdef⟫"]]}},
        {"request": {"headers": [["Cookie", f"_app_key={MARK}9-chars-abcdef⟫"]]}},
        {"request": {"path": f"/x?token={MARK}9-chars-abcdef⟫"}},
        {"request": {"path": "/x?token=%E2%9F%AAredacted-9-chars-abcdef%E2%9F%AB"}},
        {"request": {"content": f'{{"password": "{MARK}9-chars-abcdef⟫"}}'}},
        {"request": {"content": '{"password": "\\u27EAredacted-9-chars-abcdef\\u27EB"}'}},
        {"response": {"content": f"{MARK}9-chars-abcdef⟫"}},
    ],
)
def test_an_edit_that_would_send_a_redacted_value_is_refused(mitmweb: Mitmweb, edit: dict[str, Any]) -> None:
    flow = flow_of(mitmweb, "refused")
    answer = mitmweb.ask("PUT", f"/flows/{flow['id']}", edit)
    assert answer.status == 400
    assert "contains redacted values" in answer.text
    after = mitmweb.flow("/page/refused")
    assert (after["request"], after["response"]["headers"]) == (flow["request"], flow["response"]["headers"])
    assert MARK not in after["comment"]
    upload = mitmweb.ask("POST", f"/flows/{flow['id']}/request/content.data", f"{MARK}9-chars-abcdef⟫".encode())
    assert upload.status == 400


def test_bodies_are_downloaded_and_uploaded(mitmweb: Mitmweb) -> None:
    where = f"/flows/{flow_of(mitmweb, 'body')['id']}"
    down = mitmweb.ask("GET", f"{where}/response/content.data")
    assert down.text.startswith('<html><input name="user[password]" value="⟪redacted-')
    assert "the page" in down.text
    assert mitmweb.ask("POST", f"{where}/response/content.data", down.body).status == 400, "it is redacted"
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n<p>other</p>\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    assert mitmweb.ask("POST", f"{where}/response/content.data", form, headers=kind).status == 200
    assert mitmweb.ask("GET", f"{where}/response/content.data").body == b"<p>other</p>"
    assert mitmweb.ask("GET", f"{where}/response/content/raw.json").json["text"] == "<p>other</p>"


def test_an_intercepted_request_is_edited_and_resumed(mitmweb: Mitmweb, backend: Backend) -> None:
    assert mitmweb.ask("PUT", "/options", {"intercept": "~u /page/held & ~q"}).status == 200
    asking = threading.Thread(target=ask, args=(mitmweb, f"/page/held?token={CANARY}04"))
    asking.start()
    flow = mitmweb.flow("/page/held", until=lambda flow: flow["intercepted"])
    where = f"/flows/{flow['id']}"
    fields = [*flow["request"]["headers"], ["X-Added", "by hand"]]
    assert mitmweb.ask("PUT", where, {"request": {"headers": fields}, "comment": "held"}).status == 200
    assert mitmweb.ask("POST", f"{where}/resume", b"").status == 200
    asking.join(60)
    assert not asking.is_alive()
    told = json.dumps(backend.requests[-1])
    assert "by hand" in told
    assert COOKIE in told
    assert f"token={CANARY}04" in told
    assert mitmweb.flow("/page/held")["comment"].startswith("held")
    assert mitmweb.ask("PUT", "/options", {"intercept": None}).status == 200


async def test_open_pages_are_told_without_secrets(mitmweb: Mitmweb) -> None:
    async with mitmweb.updates() as socket:
        await socket.send(json.dumps({"type": "flows/updateFilter", "payload": {"name": "search", "expr": "~u page"}}))
        found = await told(socket, "flows/filterUpdate")
        await asyncio.to_thread(ask, mitmweb, f"/page/told?token={CANARY}04")
        while "/page/told" not in "".join(found):  # other flows may still be told of
            found += await told(socket, "flows/update")
    text = "".join(found)
    assert CANARY not in text


def test_a_person_edits_in_the_browser(chromium: str, mitmweb: Mitmweb, backend: Backend, tmp_path: Path) -> None:
    """A comment, an intercepted request, and a body that is downloaded and replaced."""
    assert mitmweb.ask("PUT", "/options", {"intercept": "~u /page/person & ~q"}).status == 200
    asking = threading.Thread(target=ask, args=(mitmweb, f"/page/person?token={CANARY}04"))
    asking.start()
    seen: list[str] = []
    with browser_page(chromium, viewport={"width": 1400, "height": 900}) as page:
        page.goto(f"{mitmweb.url}/?token={PASSWORD}")
        page.locator("tbody tr", has_text="/page/person").first.click()
        row = page.locator(".kv-row", has=page.get_by_text("X-Plain", exact=True))
        value = row.locator(".kv-value")
        value.click()
        expect(value).to_be_focused()
        expect(value).to_have_attribute("contenteditable", re.compile("true|plaintext-only"))
        page.keyboard.press("Control+A")
        page.keyboard.type("by a person")
        page.keyboard.press("Enter")
        expect(row.locator(".kv-value")).to_have_text("by a person")
        mitmweb.flow("/page/person", until=lambda flow: ["X-Plain", "by a person"] in flow["request"]["headers"])
        seen.append(page.content())
        page.get_by_role("button", name="Resume").click()
        asking.join(60)
        assert not asking.is_alive()
        page.locator(".flow-detail nav").get_by_text("Comment", exact=True).click()
        comment = page.locator(".flow-detail .inline-input")
        comment.click()
        expect(comment).to_be_focused()
        expect(comment).to_have_attribute("contenteditable", re.compile("true|plaintext-only"))
        page.keyboard.press("Control+A")
        page.keyboard.type("looked at by a person")
        page.locator(".flow-detail nav").get_by_text("Response", exact=True).click()
        mitmweb.flow("/page/person", until=lambda flow: flow["comment"] == "looked at by a person")
        expect(page.locator(".contentview")).to_contain_text("the page")
        seen.append(page.content())
        page.get_by_role("button", name="Download").click()
        with page.expect_download() as downloading:
            page.get_by_text("Download response").click()
        file = tmp_path / "page.html"
        downloading.value.save_as(file)
        seen.append(file.read_text())
        assert "the page" in seen[-1]
        file.write_text("<p>another page</p>")
        page.locator(".contentview input[type=file]").set_input_files(file)
        expect(page.locator(".contentview pre")).to_contain_text("another page")
        seen.append(page.content())
    assert mitmweb.ask("PUT", "/options", {"intercept": None}).status == 200
    told = json.dumps(next(each for each in reversed(backend.requests) if "/page/person" in each["path"]))
    assert all(value in told for value in ("by a person", COOKIE, f"token={CANARY}04", f"{CANARY}06"))
    assert not any(CANARY in text for text in seen)


BOMBS = {
    "br": lambda: brotli.compress(b"\0" * (1 << 29), quality=4),
    "gzip": lambda: gzip.compress(b"\0" * (1 << 24)) * 32,
}
"""Half a gibibyte each; gzip of many members."""


@pytest.mark.parametrize(("coding", "redact"), [("br", True), ("gzip", False)])
def test_a_bomb_may_be_looked_at(tmp_path: Path, coding: str, redact: bool) -> None:
    """By views, downloads, edits, filters, exports, HAR and the process's own inspection; the bounds are generous."""
    bomb = BOMBS[coding]()

    async def page(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bomb, headers={"Content-Encoding": coding}, content_type="text/html")

    backend = Backend()
    backend.app.router.add_route("*", "/bomb", page)
    settings = {"services": {"default": backend.url}, "rate_limit": {"user": None, "ip": None}}
    with backend:
        settings["services"] = {"default": backend.url}
        settings["inspect"] = {"redact": redact}
        with running(tmp_path, settings, "--set", f"hardump={tmp_path / 'out.har'}") as mitmweb:
            before = mitmweb.gateway.rss
            kind = {"Content-Encoding": coding, "Content-Type": "application/json", "Accept-Encoding": coding}
            request = urllib.request.Request(f"{mitmweb.gateway.url}/bomb", bomb, kind)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert len(answer.read()) == len(bomb)
            where = f"/flows/{mitmweb.flow('/bomb')['id']}"
            for part in ("request", "response"):
                shown = mitmweb.ask("GET", f"{where}/{part}/content/auto.json")
                assert "too large to decode" in shown.text
                assert mitmweb.ask("GET", f"{where}/{part}/content/raw.json").status == 200
                assert mitmweb.ask("GET", f"{where}/{part}/content.data").status == 200
            assert mitmweb.ask("GET", "/flows/dump?filter=~b%20nothing").status == 200
            for what in ("raw", "curl", "raw_request"):
                mitmweb.ask("POST", "/commands/export.file", {"arguments": [what, "@all", str(tmp_path / what)]})
            mitmweb.ask("POST", "/commands/save.har", {"arguments": ["@all", str(tmp_path / "all.har")]})
            assert mitmweb.ask("PUT", where, {"response": {"content": "other"}}).status == 200
            assert mitmweb.ask("GET", f"{where}/response/content.data").body == b"other"
            assert mitmweb.gateway.rss - before < 400 << 20
            assert "Traceback" not in mitmweb.gateway.output.text

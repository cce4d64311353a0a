"""OpenTelemetry: real gateway, scripted LiveView client, spans as an OTLP receiver gets them."""

import asyncio
import json
import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from gateway_process import Gateway, free_port
from otlp_receiver import Received, Receiver
from phoenix_server import RENDERED
from websockets.asyncio.client import ClientConnection, connect

CANARY = "CANARYcanary0123456789"
TOPIC = "lv:phx-T1"
PAGE = '<html><body><div data-phx-main data-phx-session="SFMyNTY.x" id="phx-T1">1</div></body></html>'
BROWSER_SPAN = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
FROM_BROWSER = f"00-{BROWSER_SPAN[0]}-{BROWSER_SPAN[1]}-01"


class LiveApp:
    """A page with a LiveView, its socket, and the trace headers of every request."""

    def __init__(self) -> None:
        self.port = free_port()
        self.traces: dict[str, list[tuple[str | None, str | None]]] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/live/websocket", self._socket)
        app.router.add_get("/{path:.*}", self._page)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _note(self, request: web.Request) -> None:
        headers = request.headers.get("traceparent"), request.headers.get("tracestate")
        self.traces.setdefault(request.path, []).append(headers)

    async def _page(self, request: web.Request) -> web.Response:
        self._note(request)
        if request.path == "/count":
            return web.Response(text=PAGE, content_type="text/html")
        return web.Response(text="ok", status=500 if request.path == "/broken" else 200)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        self._note(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                for frame in self._answers(*json.loads(message.data)):
                    await socket.send_str(json.dumps(frame))
        return socket

    def _answers(self, join_ref: str, ref: str, topic: str, event: str, payload: Any) -> list[list[Any]]:
        def reply(response: Any, status: str = "ok") -> list[Any]:
            return [join_ref, ref, topic, "phx_reply", {"status": status, "response": response}]

        match event, payload.get("event"):
            case "phx_join", _ if topic == "lv:phx-private":
                return [reply({"reason": f"unauthorized token={CANARY}07"}, "error")]
            case "phx_join", _:
                return [reply({"rendered": RENDERED, "liveview_version": "1.1.0"})]
            case "event", "crash":
                return [[join_ref, join_ref, topic, "phx_error", {}]]
            case "event", "never":
                return [[join_ref, None, topic, "diff", {"1": 8}]]
            case "event", _:
                return [reply({"diff": {"1": 7}})]
            case _:
                return [reply({})]


class Client:
    """A LiveView client's socket."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws

    async def say(self, ref: str, event: str, payload: Any, topic: str = TOPIC, *, answers: int = 1) -> None:
        await self.ws.send(json.dumps(["4", ref, topic, event, payload]))
        for _ in range(answers):
            await asyncio.wait_for(self.ws.recv(), 60)

    async def join(self, gateway: Gateway, topic: str = TOPIC) -> None:
        await self.say(
            "4", "phx_join", {"url": f"{gateway.url}/count?token={CANARY}01", "session": f"{CANARY}02"}, topic
        )

    async def click(self, ref: str, name: str, **value: Any) -> None:
        await self.say(ref, "event", {"type": "click", "event": name, "value": value})


def socket_of(gateway: Gateway) -> connect:
    url = f"ws://127.0.0.1:{gateway.port}/live/websocket?vsn=2.0.0&_csrf_token={CANARY}03"
    return connect(url, additional_headers={"Cookie": f"_app_key={CANARY}04"}, proxy=None)


def tracing_gateway(folder: Path, app: LiveApp, tracing: dict[str, Any] | None, **more: Any) -> Gateway:
    services = {"127.0.0.1": f"http://127.0.0.1:{app.port}"}
    limits = {"rate_limit": {"user": None, "ip": None}}
    return Gateway(folder, {"services": services, **limits, "tracing": tracing, **more})


async def get(gateway: Gateway, path: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}{path}", headers=headers) as answer:
        await answer.read()
        return answer.status


async def stop(gateway: Gateway) -> None:
    await asyncio.to_thread(gateway.__exit__, None, None, None)


def only(spans: list[Received], name: str, **wanted: Any) -> Received:
    def fits(span: Received) -> bool:
        return all(span.attributes.get(key.replace("__", ".")) == value for key, value in wanted.items())

    (found,) = [span for span in spans if span.name == name and fits(span)]
    return found


async def test_a_session_is_one_trace_over_a_crash_and_a_reconnect_with_the_right_parents(tmp_path: Path) -> None:
    async with LiveApp() as app:
        with Receiver() as receiver:
            settings = {"endpoint": receiver.url, "service_name": "edge", "headers": {"X-Key": f"{CANARY}05"}}
            with tracing_gateway(tmp_path, app, settings, trusted_proxies=["127.0.0.1"]) as gateway:
                state = {"tracestate": "vendor=1, other=2"}
                assert await get(gateway, f"/count?token={CANARY}06", traceparent=FROM_BROWSER, **state) == 200
                async with socket_of(gateway) as ws:
                    client = Client(ws)
                    await client.join(gateway)
                    await client.click("5", "inc", password=f"{CANARY}08")
                    await client.click("6", f"token={CANARY}09")
                    await client.click("7", "crash")
                    await client.join(gateway, "lv:phx-private")
                async with socket_of(gateway) as ws:
                    client = Client(ws)
                    await client.join(gateway)
                    await client.say("9", "live_patch", {"url": f"{gateway.url}/count/2?token={CANARY}10"})
                    await client.click("10", "never")
                assert await get(gateway, "/broken", Referer=f"{gateway.url}/count/2") == 500
                await stop(gateway)
                assert CANARY not in gateway.output.text
            spans, bodies = receiver.spans, b"".join(receiver.bodies)
            assert all(headers["x-key"] == f"{CANARY}05" for headers in receiver.headers)
    assert CANARY.encode() not in bodies
    assert all(span.resource["service.name"] == "edge" for span in spans)
    assert all(span.attributes["livegate.service"] == "127.0.0.1" for span in spans)

    root = only(spans, "liveview.session")
    assert (root.trace_id, root.parent_id) == BROWSER_SPAN
    counts = {
        key: root.attributes[f"liveview.{key}"] for key in ("sockets", "joins", "events", "crashes", "unanswered")
    }
    assert counts == {"sockets": 2, "joins": 3, "events": 5, "crashes": 1, "unanswered": 2}
    session = [span for span in spans if span.trace_id == root.trace_id]
    assert len({span.span_id for span in session}) == len(session)

    page = only(session, "GET")
    assert page.is_server
    assert (page.parent_id, page.start) == (root.span_id, root.start)
    assert page.attributes["url.path"] == "/count"
    assert page.attributes["http.response.status_code"] == 200
    assert app.traces["/count"] == [(f"00-{page.trace_id}-{page.span_id}-01", "vendor=1,other=2")]

    first, second = sorted((span for span in session if span.name == "liveview.socket"), key=lambda span: span.start)
    assert {first.parent_id, second.parent_id} == {root.span_id}
    assert first.end <= second.start <= second.end <= root.end
    assert (first.attributes["livegate.close.code"], first.attributes["livegate.close.by"]) == (1000, "client")
    assert second.events == [("diff", {"liveview.view": "/count/2", "liveview.diff_bytes": 7})]
    upgrades = sorted(
        (span for span in spans if span.attributes.get("url.path") == "/live/websocket"), key=lambda s: s.start
    )
    assert [first.links, second.links] == [[(span.trace_id, span.span_id)] for span in upgrades]
    assert app.traces["/live/websocket"] == [(f"00-{span.trace_id}-{span.span_id}-01", None) for span in upgrades]

    pushes = {
        (span.attributes["liveview.ref"], span.parent_id): span for span in session if "liveview.ref" in span.attributes
    }
    told = {
        (ref, parent == first.span_id): (
            span.name, span.attributes.get("liveview.event"), span.attributes["liveview.outcome"], span.failed, span.attributes["liveview.diff_bytes"],
        )
        for (ref, parent), span in pushes.items()
        if not span.name.startswith("liveview.join")
    }  # fmt: skip
    redacted = told.pop(("6", True))
    assert redacted[0] == "liveview.event"
    assert re.fullmatch(r"token=⟪redacted-24-chars-[0-9a-f]{6}⟫", str(redacted[1]))
    assert told == {
        ("5", True): ("liveview.event inc", "inc", "ok", False, 7),
        ("7", True): ("liveview.event crash", "crash", "crash", True, 0),
        ("9", False): ("liveview.patch", "/count/2", "ok", False, 0),
        ("10", False): ("liveview.event never", "never", "closed", True, 0),
    }
    joins = [span for span in session if span.name == "liveview.join"]
    assert sorted((span.attributes["liveview.outcome"], span.failed, span.parent_id == first.span_id) for span in joins) == [
        ("error", True, True), ("ok", False, False), ("ok", False, True),
    ]  # fmt: skip
    assert {span.attributes["liveview.view"] for span in joins} >= {"/count"}

    broken = only(spans, "GET", url__path="/broken")
    assert broken.failed
    assert broken.links == [(root.trace_id, root.span_id)], "a request of the tab is linked to its session"
    assert broken.attributes["livegate.session"] == root.attributes["livegate.session"]


async def test_a_clients_trace_is_continued_and_its_sampling_only_when_it_is_trusted(tmp_path: Path) -> None:
    async with LiveApp() as app:
        with Receiver() as receiver:
            tracing = {"endpoint": receiver.url, "sample": 0.000000001}
            with tracing_gateway(tmp_path, app, tracing, trusted_proxies=["127.0.0.1"]) as gateway:
                await get(gateway, "/told", traceparent=FROM_BROWSER, tracestate="not good")
                await get(gateway, "/untold", traceparent=FROM_BROWSER[:-2] + "00", tracestate="a=1")
                await get(gateway, "/newer", traceparent=f"01{FROM_BROWSER[2:]}-more")
                await stop(gateway)
            told = {span.attributes["url.path"]: span for span in receiver.spans}
            assert set(told) == {"/told", "/newer"}
            for path, span in told.items():
                assert (span.trace_id, span.parent_id) == BROWSER_SPAN
                assert app.traces[path] == [(f"00-{span.trace_id}-{span.span_id}-01", None)]
            assert app.traces["/untold"] == [(FROM_BROWSER[:-2] + "00", "a=1")], "goes on as it came"
        with Receiver() as receiver, tracing_gateway(tmp_path, app, {"endpoint": receiver.url}) as gateway:
            await get(gateway, "/stranger", traceparent=FROM_BROWSER[:-2] + "00")
            await get(gateway, "/bad", traceparent="00-x", tracestate="a=1")
            spans = await asyncio.to_thread(receiver.wait_for, lambda spans: len(spans) == 2)
            stranger, bad = spans
            assert (stranger.trace_id, stranger.parent_id) == BROWSER_SPAN
            assert bad.parent_id == ""
            assert app.traces["/bad"] == [(f"00-{bad.trace_id}-{bad.span_id}-01", None)]


async def test_off_or_a_sample_of_nothing_exports_nothing_and_a_reload_switches(tmp_path: Path) -> None:
    async with LiveApp() as app:
        with Receiver() as receiver, tracing_gateway(tmp_path, app, {"endpoint": receiver.url, "sample": 0}) as gateway:

            async def reload(tracing: Any) -> None:
                since = len(gateway.output.lines)
                services = {"127.0.0.1": f"http://127.0.0.1:{app.port}"}
                gateway.write({"services": services, "tracing": tracing})
                await asyncio.to_thread(gateway.output.wait_for, "settings", since=since)

            await get(gateway, "/nothing", traceparent=FROM_BROWSER)
            assert app.traces["/nothing"] == [(FROM_BROWSER, None)]
            await reload({"endpoint": receiver.url})
            await get(gateway, "/one")
            await asyncio.to_thread(receiver.wait_for, lambda spans: len(spans) == 1)
            with Receiver() as other:
                await reload({"endpoint": other.url})
                await get(gateway, "/two")
                await asyncio.to_thread(other.wait_for, lambda spans: len(spans) == 1)
                await reload({"endpoint": "nonsense"})
                await get(gateway, "/three")
                await asyncio.to_thread(other.wait_for, lambda spans: len(spans) == 2)
                await reload(None)
                await get(gateway, "/four", traceparent=FROM_BROWSER)
                assert app.traces["/four"] == [(FROM_BROWSER, None)]
                await stop(gateway)
                assert [span.attributes["url.path"] for span in other.spans] == ["/two", "/three"]
            assert [span.attributes["url.path"] for span in receiver.spans] == ["/one"]


@pytest.mark.parametrize("kind", ["refusing", "failing", "hanging"])
async def test_a_dead_collector_disturbs_nothing_and_is_told_once(tmp_path: Path, kind: str) -> None:
    async with LiveApp() as app:
        with Receiver(status=400) as receiver, socket.create_server(("127.0.0.1", 0)) as hanging:
            urls = {"refusing": f"http://127.0.0.1:{free_port()}", "failing": receiver.url}
            endpoint = urls.get(kind) or f"http://127.0.0.1:{hanging.getsockname()[1]}"
            with tracing_gateway(tmp_path, app, {"endpoint": endpoint}) as gateway:
                for _ in range(5):
                    assert await get(gateway, "/fine") == 200
                complaint = "spans do not reach the collector"
                await asyncio.to_thread(gateway.output.wait_for, complaint)
                async with socket_of(gateway) as ws:
                    client = Client(ws)
                    await client.join(gateway)
                    await client.click("5", "inc")
                if kind == "failing":
                    await asyncio.to_thread(receiver.wait_for_requests, 2)
                began = time.monotonic()
                await stop(gateway)
                assert time.monotonic() - began < 10
                assert gateway.process is not None
                assert gateway.process.returncode == 0
                warnings = [
                    line for line in gateway.output.lines if "collector" in line or "opentelemetry" in line.lower()
                ]
                assert len(warnings) == 1, warnings
                assert "Traceback" not in gateway.output.text


async def test_long_poll_is_a_socket_of_its_session_too(tmp_path: Path) -> None:
    from phoenix_server import PhoenixServer

    async with PhoenixServer(free_port()) as server:
        with Receiver() as receiver:
            services = {"127.0.0.1": f"http://127.0.0.1:{server.port}"}
            with Gateway(tmp_path, {"services": services, "tracing": {"endpoint": receiver.url}}) as gateway:
                url = f"{gateway.url}/socket/longpoll?vsn=2.0.0"
                async with aiohttp.ClientSession() as session:
                    async with session.get(url) as answer:
                        token = (await answer.json())["token"]
                    url += f"&token={token}"
                    join = ["4", "4", TOPIC, "phx_join", {"url": "http://x/count"}]
                    event = ["4", "5", TOPIC, "event", {"type": "click", "event": "swap", "value": {}}]
                    for frame in (join, event):
                        async with session.post(url, data=json.dumps(frame)) as answer:
                            await answer.read()
                        async with session.get(url) as answer:
                            await answer.read()
                await stop(gateway)
            root = only(receiver.spans, "liveview.session")
            socket_span = only(receiver.spans, "liveview.socket")
            assert socket_span.attributes["network.protocol.name"] == "longpoll"
            assert only(receiver.spans, "liveview.event swap").parent_id == socket_span.span_id
            assert only(receiver.spans, "liveview.join").parent_id == socket_span.span_id
            assert socket_span.parent_id == root.span_id


async def test_without_the_packages_a_reload_says_how_to_install_them_and_the_old_settings_stay(tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "opentelemetry.py").touch()  # no package: what is below it cannot be imported
    async with LiveApp() as app:
        services = {"127.0.0.1": f"http://127.0.0.1:{app.port}"}
        path = os.pathsep.join([str(shadow), *filter(None, [os.environ.get("PYTHONPATH")])])
        with Gateway(tmp_path, {"services": services}, environ={"PYTHONPATH": path}) as gateway:
            gateway.write({"services": services, "tracing": {}})
            await asyncio.to_thread(gateway.output.wait_for, "pip install 'livegate[otel]'")
            await asyncio.to_thread(gateway.output.wait_for, "settings not reloaded")
            assert await get(gateway, "/fine") == 200
            assert "Traceback" not in gateway.output.text

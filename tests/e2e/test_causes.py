"""Faults that are really made, through the real process, and the cause that operators are told; and none for what is well."""

import asyncio
import contextlib
import http.client
import itertools
import json
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from backends import Backend
from faulty_app import FaultyApp
from gateway_process import TIMEOUT_S, Gateway, free_port
from socket_lab import frame
from tabs import Tab

from certificates import Authority
from livegate.demo.processes import DemoProcesses

ADDRESSES = itertools.count(1)
PHX = "/live/websocket?vsn=2.0.0&_csrf_token=x"


class Staging:
    """A gateway with services of many kinds before one faulty app; each test comes from an address of its own."""

    def __init__(self, folder: Path, app: FaultyApp, demo: DemoProcesses, tls: str = "", **more: Any) -> None:
        self.app, self.admin = app, free_port()
        self.services: dict[str, Any] = {
            "a.test": app.url,
            "b.test": {"backend": app.url, "origin": "passthrough"},
            "demo.test": demo.live_url,
            "origins.test": {"backend": app.url, "websocket": {"allowed_origins": ["https://good.example"]}},
            "limited.test": {"backend": app.url, "rate_limit": {"ip": "2/minute"}},
            "few.test": {"backend": app.url, "websocket": {"max_connections": {"per_service": 1}}},
            "rate.test": {"backend": app.url, "websocket": {"frame_rate": {"messages": 5}}},
            "small.test": {"backend": app.url, "websocket": {"max_message": "64KiB"}},
            "idle.test": {"backend": app.url, "websocket": {"idle": "1s"}},
            "aged.test": {"backend": app.url, "websocket": {"max_age": "1s"}},
            "dead.test": f"http://127.0.0.1:{free_port()}",
            "dead-too.test": f"http://127.0.0.1:{free_port()}",
            "slow.test": {"backend": app.url, "timeouts": {"upgrade": "300ms", "response": "300ms"}},
            "gone.test": app.url,
            "strange.test": tls or app.url,
        }
        self.settings = {
            "rate_limit": {"user": None, "ip": None},
            "admin": {"listen": f"127.0.0.1:{self.admin}"},
            "trusted_proxies": ["127.0.0.1/32"],
            "limits": {"body": "1KiB", "stream_above": "1KiB", "head": "4KiB"},
            **more,
        }
        self.gateway = Gateway(folder, {"services": self.services, **self.settings})
        self.client = ""

    def fresh(self) -> None:
        """Come from another address."""
        self.client = f"192.0.2.{next(ADDRESSES)}"

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        conn = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=TIMEOUT_S)
        with contextlib.closing(conn):
            sent = {"Content-Type": "application/json"} if body is not None else {}
            conn.request(method, path, json.dumps(body) if body is not None else None, sent)
            return json.loads(conn.getresponse().read())

    async def asked(self, path: str, method: str = "GET", body: Any = None) -> Any:
        return await asyncio.to_thread(self.ask, path, method, body)

    async def incidents(self, count: int = 1, client: str = "") -> list[dict[str, Any]]:
        """What is told of this test's address, once there are so many."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                told = (await self.asked("/api/v1/incidents"))["incidents"]
                mine = [each for each in told if each["client"] == (client or self.client)]
                if len(mine) >= count:
                    return mine
                await asyncio.sleep(0.05)

    async def causes(self, count: int = 1, client: str = "") -> list[str]:
        """The slugs of all causes that were told of this test's address."""
        told = await self.incidents(count, client)
        return [cause["slug"] for each in told for cause in each["causes"]]

    async def of_session(self, number: int | None = None) -> list[str]:
        """The slugs of the causes of a session, of the newest one if none is named."""
        if number is None:
            number = max(each["number"] for each in (await self.asked("/api/v1/sessions"))["sessions"])
        return [cause["slug"] for cause in (await self.asked(f"/api/v1/sessions/{number}"))["causes"]]

    def tab(self, host: str, path: str, **join: Any) -> Tab:
        made = Tab(self.gateway.port, host, path, **join)
        made._http.headers["X-Forwarded-For"] = self.client
        return made

    async def upgrade(self, host: str, path: str = PHX, **headers: str) -> int:
        """The status of the answer to an upgrade."""
        fields = {"Host": host, "X-Forwarded-For": self.client, **headers}
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"{self.gateway.url}{path}", headers=fields):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    async def get(self, host: str, path: str, method: str = "GET", **options: Any) -> tuple[int, str]:
        async with aiohttp.ClientSession(headers={"Host": host, "X-Forwarded-For": self.client}) as session:
            async with session.request(method, f"{self.gateway.url}{path}", **options) as answer:
                return answer.status, await answer.text()


@pytest.fixture(scope="module")
def app() -> Iterator[FaultyApp]:
    with FaultyApp() as served:
        yield served


@pytest.fixture(scope="module")
def running(folder: Path, app: FaultyApp, demo: DemoProcesses) -> Iterator[Staging]:
    Authority().write(folder / "backend.pem", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "backend.pem")
    with Backend(tls=context) as secure:
        staging = Staging(folder, app, demo, secure.url)
        with staging.gateway:
            staging.gateway.output.wait_for("admin listener on")
            yield staging


@pytest.fixture
def staging(running: Staging) -> Staging:
    running.fresh()
    running.app.refuse_upgrades = 0
    return running


# Refused by the gateway


async def test_an_origin_that_is_not_on_the_list(staging: Staging) -> None:
    assert await staging.upgrade("origins.test", Origin="https://bad.example") == 403
    (told,) = await staging.incidents()
    (cause,) = told["causes"]
    assert cause["slug"] == "origin-refused"
    assert "Add `https://bad.example` to `services.origins.test.websocket.allowed_origins`" in cause["todo"]


async def test_a_rate_limit(staging: Staging) -> None:
    assert [await staging.upgrade("limited.test") for _ in range(3)] == [101, 101, 429]
    told = await staging.incidents(3)
    assert [cause["slug"] for each in told for cause in each["causes"]] == ["rate-limit"]


async def test_too_many_sockets(staging: Staging) -> None:
    async with staging.tab("few.test", "/p/fine") as tab:
        await tab.open()
        assert await staging.upgrade("few.test") == 503
        assert await staging.causes() == ["too-many-sockets"]


@pytest.mark.parametrize(
    ("host", "path", "slug"),
    [
        ("nobody.test", "/", "host-unknown"),
        ("dead.test", "/", "backend-unreachable"),
        ("strange.test", "/", "backend-untrusted"),
        ("slow.test", "/hang", "backend-slow"),
        ("a.test", "/cut", "backend-broken"),
    ],
)
async def test_requests_that_no_backend_answers(staging: Staging, host: str, path: str, slug: str) -> None:
    await staging.get(host, path)
    assert await staging.causes() == [slug]


@pytest.mark.parametrize(
    ("host", "path", "slug"),
    [
        ("dead-too.test", PHX, "backend-unreachable"),
        ("slow.test", "/hang", "backend-slow"),
        ("a.test", "/bad-101", "handshake-wrong"),
        ("a.test", "/cut", "backend-broken"),
        ("a.test", "/status/400/websocket", "upgrade-refused-there"),
        ("a.test", "/status/401/websocket", "login-wanted"),
        ("a.test", "/status/403/websocket", "check-origin"),
        ("b.test", "/status/403/websocket", "connect-refused"),
        ("a.test", "/status/403/websocket?vsn=3.0.0", "vsn-refused"),
        ("a.test", "/status/404/websocket", "no-socket-there"),
        ("a.test", "/status/200/websocket", "no-websocket-there"),
        ("a.test", "/status/500/websocket", "upgrade-failed-there"),
    ],
)
async def test_upgrades_that_fail(staging: Staging, host: str, path: str, slug: str) -> None:
    assert await staging.upgrade(host, path) != 101
    assert await staging.causes() == [slug]


async def test_an_upgrade_that_is_redirected(staging: Staging) -> None:
    head = f"GET /status/301/websocket HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {staging.client}\r\n"
    fields = "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b" 301 " in await asyncio.to_thread(staging.gateway.raw, (head + fields + key).encode())
    assert await staging.causes() == ["upgrade-redirected"]


async def test_an_upgrade_that_a_proxy_in_front_has_stripped(staging: Staging) -> None:
    assert (await staging.get("a.test", PHX, headers={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}))[0] == 400
    assert await staging.causes() == ["upgrade-stripped"]


async def test_a_person_who_looks_at_the_url_of_a_socket_is_no_stripped_upgrade(staging: Staging) -> None:
    assert (await staging.get("a.test", PHX))[0] == 400
    assert await staging.causes() == []


async def test_a_403_names_the_origin_and_both_ways_to_let_it_in(staging: Staging) -> None:
    assert await staging.upgrade("a.test", "/status/403/websocket", Origin="https://www.example") == 403
    (told,) = await staging.incidents()
    (cause,) = told["causes"]
    assert cause["todo"] == (
        "Add `https://www.example` to `check_origin` of the app's endpoint, or set `services.a.test.origin` to `rewrite`."
    )


async def test_a_body_that_is_too_large(staging: Staging) -> None:
    assert (await staging.get("a.test", "/", "POST", data=b"x" * 2000))[0] == 413
    assert await staging.causes() == ["body-too-large"]


@pytest.mark.parametrize(
    ("request_", "status", "slug"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Long: " + b"x" * 5000 + b"\r\n\r\n", b" 431 ", "head-too-large"),
        (b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", b" 400 ", "request-malformed"),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b" 400 ", "request-malformed"),
        (
            b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            b" 426 ",
            "upgrade-malformed",
        ),
    ],
)
async def test_requests_that_are_refused_before_anything_is_believed_of_them(
    staging: Staging, request_: bytes, status: bytes, slug: str
) -> None:
    """Not even the address that a proxy in front tells."""
    staging.client = "127.0.0.1"
    before = await staging.incidents(0)
    assert status in await asyncio.to_thread(staging.gateway.raw, request_)
    told = await staging.incidents(len(before) + 1)
    assert [cause["slug"] for each in told[len(before) :] for cause in each["causes"]] == [slug]


async def test_a_client_that_gives_the_upgrade_up(staging: Staging) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", staging.gateway.port)
    head = f"GET /hang HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {staging.client}\r\n"
    fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    writer.write((head + fields + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
    await writer.drain()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 2.1)  # a browser would have gone over to long-poll after 2.5 s
    writer.close()
    assert await staging.causes() == ["client-gave-up"]


# Sockets that end


@pytest.mark.parametrize(
    ("event", "slug"),
    [
        ("kill", "backend-lost"),
        ("close 1000", "app-closed"),
        ("close 1001", "backend-draining"),
        ("close 1002", "frame-refused"),
        ("close 1008", "app-policy"),
        ("close 1009", "too-big-there"),
        ("close 1011", "backend-failed"),
        ("close 1012", "backend-draining"),
        ("say no such frame", "frame-refused"),
        ("raw masked", "protocol"),
        ("raw text", "protocol"),
    ],
)
async def test_sockets_that_the_app_ends(staging: Staging, event: str, slug: str) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        await tab.tell(event)
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
        assert await staging.causes() == [slug]
        assert await staging.of_session((await staging.incidents())[0]["session"]) == [slug]


async def test_the_event_that_a_killed_app_did_not_answer_is_named(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        await tab.event("answered")
        await tab.tell("kill")
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    (told,) = await staging.incidents()
    assert 'There was no reply to "kill" on /p/fine.' in told["causes"][0]["why"]


async def test_a_crash_in_the_demo_is_one_of_its_view_and_costs_no_socket(staging: Staging) -> None:
    async with staging.tab("demo.test", "/slow") as tab:
        await tab.open()
        await tab.crash()
        await tab.join()
        await tab.event("slow")
        told = (await staging.asked("/api/v1/sessions"))["sessions"][-1]
        assert (told["crashes"], told["rejoins"], told["sockets"], told["state"]) == (1, 1, 1, "live")
        (incident,) = (await staging.asked(f"/api/v1/sessions/{told['number']}"))["incidents"]
    assert (incident["slug"], incident["events"], incident["healed"]) == ("view-crashed", ["crash"], "rejoined")


async def test_a_heartbeat_without_an_answer(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        await tab.tell("silence")
        await tab.socket.send_str(json.dumps([None, "99", "phoenix", "heartbeat", {"event": "silence"}]))
        await tab.close(1000, "heartbeat timeout")
    (told,) = await staging.incidents()
    assert [cause["slug"] for cause in told["causes"]] == ["heartbeat-lost"]
    assert '"silence"' in told["causes"][0]["why"]


@pytest.mark.parametrize(
    ("host", "slug"), [("idle.test", "idle"), ("aged.test", "max-age"), ("rate.test", "frame-rate")]
)
async def test_sockets_that_the_gateway_ends(staging: Staging, host: str, slug: str) -> None:
    async with staging.tab(host, "/p/fine") as tab:
        await tab.open()
        if slug == "frame-rate":
            for _ in range(12):  # within two windows of a second at most
                await tab.tell("answered")
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
        (told,) = await staging.incidents()
        assert [cause["slug"] for cause in told["causes"]] == [slug]
        assert f"`services.{host}.websocket." in told["causes"][0]["todo"]


async def test_messages_that_are_too_big(staging: Staging) -> None:
    async with staging.tab("small.test", "/p/fine") as tab:
        await tab.open()
        await tab.tell("big")
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    assert await staging.causes() == ["message-too-big"]
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        await tab.socket.send_str("x" * 70_000)
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    assert await staging.causes(2) == ["message-too-big", "too-big-there"]


async def test_a_client_that_breaks_the_protocol(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        transport = tab.socket._response.connection.transport  # type: ignore[union-attr]
        transport.write(frame(1, b"not masked", masked=False))
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    assert await staging.causes() == ["protocol"]


async def test_an_operator_closes_a_socket(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        sockets = (await staging.asked("/api/v1/sockets"))["sockets"]
        (mine,) = [each for each in sockets if each["client"] == staging.client]
        await staging.asked(f"/api/v1/sockets/{mine['id']}/close", "POST", {"code": 4321, "reason": "bye"})
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    assert await staging.causes() == ["operator-closed"]


# Sessions


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/p/stale", "stale"),
        ("/p/unauthorized", "unauthorized"),
        ("/p/reload", "join-reload"),
        ("/p/join-crashed", "join-crashed"),
        ("/p/unmatched", "topic-unknown"),
        ("/p/too-many", "too-many-channels"),
    ],
)
async def test_joins_that_are_refused(staging: Staging, path: str, slug: str) -> None:
    async with staging.tab("a.test", path) as tab:
        await tab.open()
        assert await staging.of_session() == [slug]
        await tab.close()
    assert await staging.causes() == [slug]


async def test_a_stale_join_tells_what_did_not_come(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/stale") as tab:
        await tab.load()
        tab.csrf = ""
        await tab.connect()
        await tab.join()
        await tab.close()
    assert await staging.causes() == ["csrf-missing"]
    staging.fresh()
    async with staging.tab("a.test", "/p/stale") as tab:
        await tab.load()
        tab._http.cookie_jar.clear()
        await tab.connect()
        await tab.join()
        await tab.close()
    assert await staging.causes() == ["cookie-missing"]


async def test_a_page_that_reloads_in_a_loop(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/stale") as tab:
        for _ in range(3):
            await tab.open()
            await tab.close(1001)
    assert await staging.causes(6) == ["stale", "stale", "reload-loop"]


async def test_a_view_that_crashes_again_and_again(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.open()
        for count in range(3):
            await tab.tell("crash")
            await tab.pushes("phx_error")
            await tab.join()
            slugs = ["view-crashed"] * min(count + 1, 2) + ["crash-loop"] * (count == 2)
            assert await staging.of_session() == slugs
        await tab.close()
    *told, ended = await staging.incidents(4)
    assert ended["causes"] == []
    for each in told:
        assert 'There was no reply to "crash".' in each["causes"][0]["why"]
        moment = each["incident"]
        assert (moment["events"], moment["healed"], each["session"]) == (["crash"], "rejoined", moment["session"])
        assert moment["cost"] > 0


async def test_versions_that_are_apart(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/old-server", params={"_mount_attempts": 0}) as tab:
        await tab.open()
        assert await staging.of_session() == ["versions-apart"]
    assert await staging.causes() == ["versions-apart"]


async def poll(staging: Staging, tab: Tab) -> str:
    """A page that was loaded goes on with long-poll; returns its token."""
    query = "vsn=2.0.0&_csrf_token=x"
    _, text = await staging.get("a.test", f"/live/longpoll?{query}")
    token = str(json.loads(text)["token"])
    join = ["4", "4", tab.topic, "phx_join", {"url": "http://a.test/p/fine", "params": {}, "session": "e30"}]
    path, fields = f"/live/longpoll?{query}&token={token}", {"Content-Type": "application/x-ndjson"}
    await staging.get("a.test", path, "POST", data=json.dumps(join), headers=fields)
    await staging.get("a.test", path)
    return token


async def test_long_poll_after_a_websocket_that_failed(staging: Staging) -> None:
    """phoenix.js remembers it, so the page that is loaded next does not even try a WebSocket."""
    staging.app.refuse_upgrades = 403
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.load()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await tab.connect()
        await poll(staging, tab)
        assert await staging.of_session() == ["long-poll-pinned"]
        staging.app.refuse_upgrades = 0
        await tab.load()
        await poll(staging, tab)
        assert await staging.of_session() == ["long-poll-pinned"]
        await tab.open()  # the tab was told to forget it
        await tab.close()
        await tab.load()
        await poll(staging, tab)
        assert await staging.of_session() == []
    assert await staging.causes(4) == ["check-origin", "long-poll-pinned", "long-poll-pinned"]


async def test_long_poll_that_is_all_that_the_page_asks_for_is_well(staging: Staging) -> None:
    async with staging.tab("a.test", "/p/fine") as tab:
        await tab.load()
        token = await poll(staging, tab)
    assert await staging.of_session() == []
    staging.app.forget_polls()
    await staging.get("a.test", f"/live/longpoll?vsn=2.0.0&token={token}")
    assert await staging.of_session() == ["long-poll-gone"]


# Reloads and the end


async def test_a_reload_that_removes_a_service(staging: Staging) -> None:
    async with staging.tab("gone.test", "/p/fine") as tab:
        await tab.open()
        left = {name: value for name, value in staging.services.items() if name != "gone.test"}
        staging.gateway.write({"services": left, **staging.settings})
        await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
    assert await staging.causes() == ["service-removed"]


async def test_a_gateway_that_is_being_stopped(tmp_path: Path, app: FaultyApp, demo: DemoProcesses) -> None:
    staging = Staging(tmp_path, app, demo, timeouts={"drain": "8s"})
    staging.fresh()
    with staging.gateway as gateway:
        gateway.output.wait_for("admin listener on")
        with deaf_socket(gateway.port):  # it keeps the gateway from ending before anybody could ask
            async with staging.tab("a.test", "/p/fine") as tab:
                await tab.open()
                assert gateway.process is not None
                gateway.process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(tab.ended.wait(), TIMEOUT_S)
                assert await staging.causes() == ["gateway-draining"]


@contextlib.contextmanager
def deaf_socket(port: int) -> Iterator[None]:
    """A WebSocket whose client reads nothing and answers nothing."""
    head = f"GET {PHX} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as conn:
        conn.sendall((head + key).encode())
        assert b"101" in conn.recv(100)
        yield


# What is well


async def test_clean_sessions_have_no_cause(staging: Staging) -> None:
    paths = ["/count", "/form", "/stream", "/navigate", "/slow", "/login"]
    tabs = [staging.tab("demo.test", path) for path in paths]
    for tab in tabs:
        await tab.open()
        await tab.heartbeat()
    counter, form, stream, navigate, slow, login = tabs
    for _ in range(5):
        await counter.event("inc")
        await stream.event("add")
    await form.event("change", "name=zed&email=a%40b.test", "form")
    await navigate.event("server-navigate")
    await slow.event("wait")
    login.path = "/count"
    await login._push("phx_leave", {})
    await login.join()  # a live navigation: the same socket, another view
    await counter.close(1001)  # a page that is reloaded, or a phone that slept
    await counter.connect()
    await counter.join()
    await form.lose()  # a network that is gone
    await stream.close(1000)
    for tab in tabs:
        if not tab.socket.closed:
            await tab.close()
        await tab._http.close()
    assert await staging.causes(len(tabs) + 1) == []
    rows = (await staging.asked("/api/v1/sessions"))["sessions"]
    mine = [each["number"] for each in rows if each["service"] == "demo.test" and each["path"] in [*paths, "/count"]]
    newest = sorted(mine)[-len(tabs) :]
    assert [await staging.of_session(number) for number in newest] == [[]] * len(tabs)

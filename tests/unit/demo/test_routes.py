"""The demo's plain HTTP routes do what tests of the gateway build on."""

import hashlib
import time
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from livegate.demo.processes import App
from livegate.demo.routes import BLOCK

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def live() -> Iterator[App]:
    app = App("livegate.demo.live", 0)
    app.start()
    try:
        app.wait()
        yield app
    finally:
        app.stop()


@pytest.fixture
async def client(live: App) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{live.port}", timeout=timeout, cookie_jar=jar) as session:
        yield session


async def test_headers_come_back_as_pairs_with_repeated_ones_kept(client: aiohttp.ClientSession) -> None:
    async with client.get("/headers", headers=[("X-Twice", "a"), ("X-Twice", "b")]) as answer:
        pairs = await answer.json()
    assert [pair for pair in pairs if pair[0] == "x-twice"] == [["x-twice", "a"], ["x-twice", "b"]]


async def test_a_head_of_48_kib_is_taken(client: aiohttp.ClientSession) -> None:
    async with client.get("/healthz", headers={f"x-{number}": "v" * 4096 for number in range(12)}) as answer:
        assert answer.status == 200


async def test_two_cookies_are_two_fields(client: aiohttp.ClientSession) -> None:
    async with client.get("/cookies") as answer:
        assert [field.split("=")[0] for field in answer.headers.getall("Set-Cookie")] == ["first", "second"]


async def test_the_first_event_comes_at_once_and_all_are_sent(client: aiohttp.ClientSession) -> None:
    started = time.monotonic()
    async with client.get("/sse?n=2&every=2") as answer:
        assert answer.content_type == "text/event-stream"
        first = await answer.content.readuntil(b"\n\n")
        first_after_s = time.monotonic() - started
        rest = await answer.content.read()
    assert (first, rest) == (b"data: 0\n\n", b"data: 1\n\n")
    assert first_after_s < 2 <= time.monotonic() - started


async def test_a_long_poll_is_answered_after_the_wait(client: aiohttp.ClientSession) -> None:
    started = time.monotonic()
    async with client.get("/poll?wait=0.3") as answer:
        assert await answer.json() == {"waited": 0.3}
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("size", [0, 1, len(BLOCK), 3 * len(BLOCK) + 7])
async def test_as_many_bytes_come_as_were_asked_for(client: aiohttp.ClientSession, size: int) -> None:
    async with client.get(f"/bytes?n={size}") as answer:
        assert answer.headers["Content-Length"] == str(size)
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == (BLOCK * 4)[:size]


@pytest.mark.parametrize(
    "target", ["/bytes?n=x", "/bytes?n=-1", "/bytes?n=9999999999", "/sse?n=inf", "/poll?wait=nan", "/poll?wait=3601"]
)
async def test_a_number_out_of_bounds_is_400_and_says_what_is_allowed(
    client: aiohttp.ClientSession, target: str
) -> None:
    async with client.get(target) as answer:
        assert answer.status == 400
        assert "a number from 0 to" in await answer.text()


async def test_an_upload_is_counted_and_digested(client: aiohttp.ClientSession) -> None:
    body = BLOCK * 20
    async with client.post("/upload-sink", data=body) as answer:
        assert await answer.json() == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


async def test_a_login_is_seen_by_the_view_until_the_logout(client: aiohttp.ClientSession) -> None:
    async with client.post("/session", data={"user": "<José>"}) as answer:
        assert answer.history[0].status == 303
        assert answer.history[0].headers["Location"] == "/login"
        assert '<b id="user">&lt;José&gt;</b>' in await answer.text()
    async with client.post("/logout") as answer:
        assert 'id="user-name"' in await answer.text()


async def test_an_empty_login_is_none_and_a_form_that_is_too_long_is_413(client: aiohttp.ClientSession) -> None:
    async with client.post("/session", data={"user": " "}) as answer:
        assert 'id="user-name"' in await answer.text()
    async with client.post("/session", data=b"user=" + b"x" * 5000) as answer:
        assert answer.status == 413


async def test_the_root_is_the_counter_which_names_livegate_and_no_foreign_address(
    client: aiohttp.ClientSession,
) -> None:
    async with client.get("/") as answer:
        assert answer.url.path == "/count"
        text = await answer.text()
    assert "<b>livegate</b>" in text
    assert "//" not in text.replace("<!doctype html>", "")


@pytest.mark.parametrize(
    "target", ["/count?c=x", "/count?c=99999999999999999999", "/navigate?step=%C2%B2", "/navigate?step=-7"]
)
async def test_a_view_takes_any_query(client: aiohttp.ClientSession, target: str) -> None:
    async with client.get(target) as answer:
        assert answer.status == 200


async def test_forty_tracebacks_do_not_freeze_the_app(client: aiohttp.ClientSession) -> None:
    for _ in range(40):  # a join without a token fails with a traceback on the app's stderr
        async with client.ws_connect("/live/websocket?vsn=2.0.0") as socket:
            await socket.send_str('["1","1","lv:phx-x","phx_join",{}]')
            await socket.receive()
    async with client.get("/healthz") as answer:
        assert answer.status == 200

"""Times, rates, origins, compression and the end of the gateway itself, as a socket sees them."""

import asyncio
import contextlib
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import status_of
from socket_lab import WAYS, Lab, frame, inside, make_lab, seen, until
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

pytestmark = pytest.mark.unmeasured


async def echo(server: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in server:
            await server.send(message)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab for tests that need no settings of their own."""
    with running(tmp_path_factory.mktemp("plain")) as lab:
        yield lab


@pytest.fixture(scope="module")
def compressing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab in which the ends agree on compression."""
    with running(tmp_path_factory.mktemp("compressing"), websocket={"compression": "passthrough"}) as lab:
        yield lab


@contextlib.contextmanager
def running(folder: Path, *ways: str, **settings: object) -> Iterator[Lab]:
    """A lab with the gateways that some ways need; without ways, with both."""
    lab = make_lab(folder, **settings)
    with contextlib.ExitStack() as opened:
        for gateway in {id(each): each for each in map(lab.gateway_of, ways or WAYS)}.values():
            opened.enter_context(gateway)
        yield lab


class Backend:
    """An echo that remembers its connections."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def __call__(self, server: ServerConnection) -> None:
        self.connections.put_nowait(server)
        await echo(server)


async def test_an_idle_socket_is_lost_and_a_busy_one_is_not(folder: Path) -> None:
    with running(folder, websocket={"idle": "2s"}) as lab:
        backend = Backend()

        async def both(way: str) -> list[tuple[int | None, str | None]]:
            idle, busy = [await lab.connect(lab.url(way, f"/{way}/{name}")) for name in ("idle", "busy")]
            for _ in range(30):
                await busy.ping()
                await asyncio.sleep(0.1)
            ended = await seen(idle)
            await busy.send("still here")
            assert await asyncio.wait_for(busy.recv(), 60) == "still here"
            await busy.close()
            return ended

        async with lab.serving(backend):
            ended = await asyncio.gather(*map(both, WAYS))
            servers = [backend.connections.get_nowait() for _ in range(2 * len(WAYS))]
            ended += [await seen(server) for server in servers if server.request.path.endswith("idle")]
        assert [code for code, _ in ended] == [1006] * 2 * len(WAYS)
        lab.gateway.output.wait_for("close_code=1006 close_reason=idle closed_by=gateway")


async def test_an_old_socket_is_closed_with_1012(folder: Path) -> None:
    with running(folder, "raw", websocket={"max_age": "700ms"}) as lab:
        backend = Backend()
        async with lab.serving(backend):
            client = await lab.connect(lab.url("raw"))
            server = await backend.connections.get()
            assert await seen(client) == await seen(server) == (1012, "open for as long as allowed")


async def test_the_gateways_own_pings_stay_its_own_and_a_silent_end_is_lost(folder: Path) -> None:
    with running(folder, "raw", websocket={"ping_every": "200ms"}) as lab:
        heard: list[bytes] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while data := await reader.read(4096):
                    heard.append(data)
            writer.close()

        backend = Backend()
        async with lab.serving(backend):
            client = await lab.connect(lab.url("raw"))
            server = await backend.connections.get()
            await asyncio.sleep(1)  # several pings
            await client.send("x")
            assert await asyncio.wait_for(client.recv(), 60) == "x"
            assert not server.latency  # no pong came that the ends had asked for
            await client.close()
        lab.gateway.output.wait_for("close_code=1000")


@pytest.mark.parametrize("limit", [{"messages": 5}, {"bytes": "1KiB"}])
async def test_a_client_that_sends_too_much_too_fast_gets_1008(folder: Path, limit: dict[str, object]) -> None:
    with running(folder, "raw", websocket={"frame_rate": limit}) as lab:
        backend = Backend()
        async with lab.serving(backend):
            client = await lab.connect(lab.url("raw"))
            server = await backend.connections.get()
            with contextlib.suppress(ConnectionClosed):
                for _ in range(50):
                    await client.send("x" * 200)
            assert (await seen(client))[0] == (await seen(server))[0] == 1008


async def test_only_allowed_origins_may_open_a_socket_and_nobody_else_reaches_a_backend(folder: Path) -> None:
    origins = ["https://app.test", "http://*.example.com:8080"]
    with running(folder, "raw", websocket={"allowed_origins": origins}) as lab:
        backend = Backend()
        async with lab.serving(backend):
            for good in ("https://app.test", "https://APP.test:443", "http://a.b.example.com:8080"):
                client = await lab.connect(lab.url("raw"), origin=good)
                await backend.connections.get()
                await client.close()
            for bad in (
                "https://app.test.evil",
                "http://app.test",
                "http://example.com:8080",
                "null",
                "nonsense",
                None,
            ):
                with pytest.raises(InvalidStatus) as refused:
                    await lab.connect(lab.url("raw"), origin=bad)
                assert refused.value.response.status_code == 403
            assert backend.connections.empty()


async def test_the_total_and_a_clients_share_are_bounded(folder: Path) -> None:
    settings = {"max_connections": {"total": 5, "per_client": 3}}
    with running(folder, "raw", websocket=settings, trusted_proxies=["127.0.0.1"]) as lab:
        backend = Backend()
        async with lab.serving(backend):
            clients = [await lab.connect(lab.url("raw")) for _ in range(3)]
            with pytest.raises(InvalidStatus) as refused:
                await lab.connect(lab.url("raw"))
            assert b"from this address" in refused.value.response.body
            other = {"X-Forwarded-For": "198.51.100.7"}
            clients += [await lab.connect(lab.url("raw"), additional_headers=other) for _ in range(2)]
            with pytest.raises(InvalidStatus) as refused:
                await lab.connect(lab.url("raw"), additional_headers=other)
            assert b"on this gateway" in refused.value.response.body
            assert backend.connections.qsize() == 5


# Compression


async def test_strip_takes_the_offer_away_and_every_frame_is_readable(plain: Lab) -> None:
    async with plain.serving(echo, compression="deflate"):
        async with await plain.connect(plain.url("raw"), compression="deflate") as client:
            assert client.response is not None
            assert "Sec-WebSocket-Extensions" not in client.response.headers
            await client.send("change:read")
            assert await asyncio.wait_for(client.recv(), 60) == "read"


PARAMETERS = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True, "server_max_window_bits": 9},
    {"client_max_window_bits": 10, "server_no_context_takeover": True, "client_no_context_takeover": True},
]


@pytest.mark.parametrize("parameters", PARAMETERS)
async def test_passthrough_keeps_what_the_ends_agree_on_and_changed_sockets_stay_decodable(
    compressing: Lab, parameters: dict[str, object]
) -> None:
    offer = [ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **parameters})]
    accept = [ServerPerMessageDeflateFactory(**parameters)]
    for way in WAYS:
        direct_extensions = None
        async with compressing.serving(echo, extensions=accept):
            async with await compressing.connect(compressing.direct(), extensions=offer) as client:
                assert client.response is not None
                direct_extensions = client.response.headers["Sec-WebSocket-Extensions"]
            async with await compressing.connect(compressing.url(way), extensions=offer) as client:
                assert client.response is not None
                assert client.response.headers["Sec-WebSocket-Extensions"] == direct_extensions
                text = "the same words again and again, " * 40
                for message in (text, text, "change:" + text, text, "drop:" + text, text, text.encode(), "", text):
                    await client.send(message)
                    if not (isinstance(message, str) and message.startswith("drop:")):
                        expected = message
                        if isinstance(message, str):
                            expected = message.removeprefix("change:")
                        assert await asyncio.wait_for(client.recv(), 60) == expected
                query = "path=/&to_client=1&text=injected"
                await inside(compressing.gateway_of(way), "inject", query)
                assert await asyncio.wait_for(client.recv(), 60) == "injected"
                await client.send(text)
                assert await asyncio.wait_for(client.recv(), 60) == text
    assert "client the same words" in "\n".join(await inside(compressing.gateway, "seen"))


async def test_a_deflate_bomb_ends_with_1009_in_bounded_memory(compressing: Lab) -> None:
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (engine.compress(b"\0" * 200 * 1024 * 1024) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert 150 * 1024 < len(bomb) < 250 * 1024
    for way in WAYS:
        gateway = compressing.gateway_of(way)
        backend = Backend()
        async with compressing.serving(backend, compression="deflate"):
            client = await compressing.connect(compressing.url(way), compression="deflate")
            server = await backend.connections.get()
            before = gateway.rss
            client.transport.write(frame(2, bomb, masked=True, rsv=0x40))
            assert (await seen(client))[0] == (await seen(server))[0] == 1009
            assert gateway.rss - before < 64 * 1024 * 1024


async def test_final_blocks_without_end_are_refused_while_others_are_served(compressing: Lab) -> None:
    """RFC 7692 section 7.2.3.4 allows final blocks; a MiB of them used to hold up everybody for a quarter minute."""
    backend = Backend()
    async with compressing.serving(backend, compression="deflate"):
        client, other = [await compressing.connect(compressing.url("raw"), compression="deflate") for _ in range(2)]
        servers = [await backend.connections.get() for _ in range(2)]
        client.transport.write(frame(2, b"\x03\x00" * (512 * 1024 - 16), masked=True, rsv=0x40))
        await other.send("hello")
        assert await asyncio.wait_for(other.recv(), 12) == "hello"
        assert (await asyncio.wait_for(seen(client), 12))[0] == 1009
        await other.close()
        assert sorted([(await seen(server))[0] for server in servers]) == [1000, 1009]


async def test_an_endless_fragmented_message_ends_with_1009_in_bounded_memory(plain: Lab) -> None:
    for way in WAYS:
        gateway = plain.gateway_of(way)
        async with plain.serving(echo):
            client = await plain.connect(plain.url(way))
            before = peak = gateway.rss
            client.transport.write(frame(2, b"x" * 60_000, masked=True, fin=False))
            piece = frame(0, b"x" * 60_000, masked=True, fin=False)
            for _ in range(1000):
                client.transport.write(piece)
                await client.drain() if hasattr(client, "drain") else await asyncio.sleep(0.001)
                peak = max(peak, gateway.rss)
                if client.transport.is_closing() or client.protocol.close_rcvd:
                    break
            assert (await seen(client))[0] == 1009
            assert peak - before < 64 * 1024 * 1024


# The end of the gateway, and of a service


async def test_a_service_that_is_removed_closes_its_sockets_with_1012_and_touches_no_other(folder: Path) -> None:
    with running(folder, "raw") as lab:
        backend = Backend()
        async with lab.serving(backend):
            staying = await lab.connect(lab.url("raw"))
            await backend.connections.get()
            leaving = await lab.connect(lab.url("backend-tls"))
            at_backend = await backend.connections.get()
            lab.gateway.write(
                {"services": {"app.test": f"http://127.0.0.1:{lab.port}"}, "rate_limit": {"user": None, "ip": None}}
            )
            assert await seen(leaving) == await seen(at_backend) == (1012, "the service was removed")
            await staying.send("unharmed")
            assert await asyncio.wait_for(staying.recv(), 60) == "unharmed"
            await staying.close()


@pytest.mark.parametrize("way", WAYS)
async def test_sigterm_tells_both_ends_finishes_requests_and_ends_with_0(folder: Path, way: str) -> None:
    with running(folder, way, timeouts={"drain": "3s"}) as lab:
        gateway = lab.gateway_of(way)
        backend = Backend()
        async with lab.serving(backend):
            clients = [await lab.connect(lab.url(way)) for _ in range(5)]
            servers = [await backend.connections.get() for _ in range(5)]
            assert gateway.process
            gateway.process.send_signal(signal.SIGTERM)
            ends = [await seen(end) for end in [*clients, *servers]]
            assert ends == [(1012, "the gateway is being stopped")] * 10
            assert await asyncio.to_thread(gateway.process.wait, 60) == 0
        gateway.output.join()
        assert "Traceback" not in gateway.output.text
        assert gateway.output.text.count("close_code=1012") == 5


async def test_while_it_stops_a_request_under_way_is_finished_and_a_new_one_gets_503(folder: Path) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            started.set()
            await asyncio.wait_for(release.wait(), 60)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            await writer.drain()
        writer.close()

    with running(folder, "raw", timeouts={"drain": "8s"}) as lab:
        async with await asyncio.start_server(backend, "127.0.0.1", lab.port):
            reader, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
            request = b"GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n"
            writer.write(request)
            await asyncio.wait_for(started.wait(), 60)
            # A second request waits behind the first one; it comes too late.
            writer.write(request)
            assert lab.gateway.process
            lab.gateway.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(idle_reader.read(), 60) == b""  # nothing was under way there

            async def listens_no_more() -> bool:
                try:
                    _, probe = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
                except OSError:
                    return True
                probe.close()
                return False

            await until(listens_no_more)
            release.set()
            answer = await asyncio.wait_for(reader.read(), 60)
            first, _, second = answer.partition(b"done")
            assert status_of(first) == 200
            assert status_of(second) == 503
            assert b"Connection: close" in second
            assert await asyncio.to_thread(lab.gateway.process.wait, 60) == 0
            idle_writer.close()


async def test_the_drain_ends_at_its_deadline_and_at_once_with_a_second_signal(folder: Path) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # all of the request, until the gateway gives up
        await reader.read()
        writer.close()

    for second_signal in (False, True):
        place = folder / str(second_signal)
        place.mkdir()
        with running(place, "raw", timeouts={"drain": "30s" if second_signal else "1s"}) as lab:
            async with await asyncio.start_server(deaf, "127.0.0.1", lab.port) as server:
                _, writer = await asyncio.open_connection("127.0.0.1", lab.gateway.port)
                writer.write(b"GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n")

                async def under_way() -> bool:
                    return (await inside(lab.gateway, "held"))["connections"] > 1

                await until(under_way)
                process = lab.gateway.process
                assert process
                process.send_signal(signal.SIGTERM)
                if second_signal:
                    await asyncio.to_thread(lab.gateway.output.wait_for, "stopping:")
                    process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 15) == 0
                writer.close()
                server.close()


@pytest.mark.parametrize("way", WAYS)
async def test_an_end_that_does_not_read_stops_the_other_and_memory_stays(plain: Lab, way: str) -> None:
    release = asyncio.Event()

    async def deaf(server: ServerConnection) -> None:
        await asyncio.wait_for(release.wait(), 60)

    gateway = plain.gateway_of(way)
    async with plain.serving(deaf, max_queue=2, close_timeout=0.1):
        client = await plain.connect(plain.url(way))
        before, sent = gateway.rss, 0
        with contextlib.suppress(TimeoutError):
            while sent < 256:
                await asyncio.wait_for(client.send(b"x" * (1 << 20)), 1)
                sent += 1
        assert sent < 256, "the client was never held up"
        assert gateway.rss - before < 48 << 20
        release.set()
        client.transport.abort()

"""Autobahn's conformance cases through the gateway: none ends worse than between client and server alone."""

import asyncio
import contextlib
import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conformance_cases import CLOSE, Case, all_cases, put
from socket_lab import WAYS, Lab, make_lab
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

pytestmark = pytest.mark.unmeasured

WORSE_DIRECTLY = {"7.1.5"}
"""Cases in which `websockets` alone is stricter than Autobahn: it takes no close frame between fragments."""
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    compression = {"websocket": {"compression": "passthrough"}}
    lab = make_lab(tmp_path_factory.mktemp("conformance"), **compression)
    with lab.gateway, lab.layered:
        yield lab


async def echo(server: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in server:
            await server.send(message)


@dataclass(slots=True)
class Outcome:
    """What a client saw."""

    messages: list[tuple[int, bytes]]
    code: int | str | None = None

    def is_good(self, case: Case) -> bool:
        echoed = list(case.echoed)
        whole = self.messages == echoed
        partly = self.messages == echoed[: len(self.messages)]
        return self.code in case.codes and (whole or (partly and (case.fails or case.closes)))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A server's frame: first byte and payload."""
    first, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    return first, await reader.readexactly(size)


async def read_until_closed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, case: Case, outcome: Outcome
) -> None:
    asked = case.closes or case.fails
    if not asked and not case.echoed:
        writer.write(put(CLOSE, b"\x03\xe8"))
        asked = True
    payload, opcode = b"", 0
    while True:
        first, part = await read_frame(reader)
        if first & 0x0F == CLOSE:
            outcome.code = struct.unpack("!H", part[:2])[0] if part else "no status"
            return
        payload, opcode = payload + part, opcode or first & 0x0F
        if not first & 0x80:
            continue
        outcome.messages.append((opcode, payload))
        payload, opcode = b"", 0
        if len(outcome.messages) == len(case.echoed) and not asked:
            writer.write(put(CLOSE, b"\x03\xe8"))
            asked = True


async def send(writer: asyncio.StreamWriter, case: Case) -> None:
    step = case.chop or len(case.sent) or 1
    with contextlib.suppress(OSError):
        for at in range(0, len(case.sent), step):
            writer.write(case.sent[at : at + step])
            if case.chop:
                await writer.drain()
                await asyncio.sleep(0)


async def run(lab: Lab, url: str, case: Case, *, at_once: bool = False) -> Outcome:
    """One case, by hand: neither side's library helps the client."""
    scheme, _, place = url.partition("://")
    host, _, port = place.rstrip("/").partition(":")
    tls = lab.client_tls() if scheme == "wss" else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(port), ssl=tls, server_hostname=host if tls else None
    )
    outcome = Outcome([])
    try:
        writer.write(HANDSHAKE.format(host=f"{host}:{port}").encode() + (case.sent if at_once else b""))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        sending = asyncio.create_task(send(writer, replace(case, sent=b"") if at_once else case))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await asyncio.wait_for(read_until_closed(reader, writer, case, outcome), 60)
        await sending
    finally:
        writer.close()
    return outcome


@pytest.mark.parametrize("section", ["1", "2", "3", "4", "5", "6", "7", "9", "10"])
async def test_no_case_ends_worse_than_without_a_gateway(lab: Lab, section: str) -> None:
    cases = [case for case in all_cases() if case.number.startswith(f"{section}.")]
    assert cases
    worse = []
    async with lab.serving(echo):
        for case in cases:
            directly = await run(lab, lab.direct(), case)
            for way in WAYS:
                outcome = await run(lab, lab.url(way), case)
                if not outcome.is_good(case):
                    got = [(opcode, payload[:20]) for opcode, payload in outcome.messages[:5]]
                    worse.append(f"{case.number} {way}: {got} {outcome.code}; directly {directly.code}")
            if not directly.is_good(case) and case.number not in WORSE_DIRECTLY:
                worse.append(f"{case.number} directly: {directly.code}: the case is wrong, or the library is")
    assert worse == []


OFFERS: dict[str, tuple[tuple[bool, int], ...]] = {
    "12": ((False, 0),),
    "13.1": ((False, 0),),
    "13.2": ((True, 0),),
    "13.3": ((False, 9),),
    "13.4": ((False, 15),),
    "13.5": ((True, 9),),
    "13.6": ((True, 15),),
    "13.7": ((True, 9), (True, 0), (False, 0)),
}
"""What a client offers, first choice first: whether the server is to forget its context, and its window (0: any)."""


def offers(section: str) -> list[ClientPerMessageDeflateFactory]:
    return [
        ClientPerMessageDeflateFactory(
            server_no_context_takeover=forgets, server_max_window_bits=window or None, client_max_window_bits=True
        )
        for forgets, window in OFFERS[section]
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("section", OFFERS)
async def test_compression_is_what_it_is_without_a_gateway(lab: Lab, way: str, section: str) -> None:
    """Sections 12 and 13: sizes of 16 octets to 128 KiB, whole and in fragments, text and octets."""
    text = json.dumps({"rendered": [f"<li>äöü {number}</li>" for number in range(9000)]}, ensure_ascii=False)
    agreed = []
    async with lab.serving(echo, compression=None, extensions=[ServerPerMessageDeflateFactory()]):
        for url in (lab.direct(), lab.url(way)):
            client = await lab.connect(url, compression=None, extensions=offers(section))
            async with client:
                (extension,) = client.protocol.extensions
                agreed.append(repr(extension))
                for size in (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072):
                    messages: tuple[Any, ...] = (text[:size], text[:size].encode())
                    for message in messages:
                        fragments = [message[at : at + 1000] for at in range(0, len(message), 1000)]
                        for sent in (message, fragments) * 5:
                            await client.send(sent)
                            assert await asyncio.wait_for(client.recv(), 60) == message
    assert agreed[0] == agreed[1]


@pytest.mark.parametrize("way", WAYS)
async def test_what_a_client_sends_before_its_101_is_held_and_delivered_first(lab: Lab, way: str) -> None:
    early = Case("early", put(1, b"early") + put(1, b"bird"), ((1, b"early"), (1, b"bird")))

    async def slow(connection: ServerConnection, request: object) -> None:
        await asyncio.sleep(0.3)

    async with lab.serving(echo, process_request=slow):
        assert (await run(lab, lab.url(way), early, at_once=True)).is_good(early)


RANKS = {
    "OK": 0,
    "INFORMATIONAL": 0,
    "NON-STRICT": 1,
    "WRONG CODE": 2,
    "UNCLEAN": 2,
    "FAILED BY CLIENT": 2,
    "FAILED": 3,
}


def worse_than(direct: dict[str, Any], through: dict[str, Any]) -> list[str]:
    """Cases of two reports of Autobahn's in which the second is worse."""
    return [
        f"{case}: {through[case][key]} instead of {result[key]}"
        for case, result in direct.items()
        for key in ("behavior", "behaviorClose")
        if RANKS[through[case][key]] > RANKS[result[key]]
    ]


def test_a_worse_report_is_noticed() -> None:
    direct = {
        "1.1": {"behavior": "OK", "behaviorClose": "OK"},
        "6.4.1": {"behavior": "NON-STRICT", "behaviorClose": "OK"},
    }
    assert worse_than(direct, direct) == []
    through = {
        "1.1": {"behavior": "FAILED", "behaviorClose": "OK"},
        "6.4.1": {"behavior": "OK", "behaviorClose": "UNCLEAN"},
    }
    assert worse_than(direct, through) == ["1.1: FAILED instead of OK", "6.4.1: UNCLEAN instead of OK"]


@pytest.mark.skipif(
    shutil.which("wstest") is None, reason="Autobahn's wstest (Python 2.7) is not here; our list of its cases is"
)
async def test_autobahn_itself(lab: Lab, tmp_path: Path) -> None:
    ways = {"direct": lab.direct(), "raw": lab.url("raw"), "layer": lab.url("layer")}
    servers = [{"agent": way, "url": url.replace("app.test", "localhost")} for way, url in ways.items()]
    spec = {"outdir": str(tmp_path), "servers": servers, "cases": ["*"], "exclude-cases": [], "exclude-agent-cases": {}}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    command = ["wstest", "-m", "fuzzingclient", "-s", str(tmp_path / "spec.json")]
    async with lab.serving(echo, compression="deflate"):
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=1800)
    report = json.loads((tmp_path / "index.json").read_text())
    assert worse_than(report["direct"], report["raw"]) == []
    assert worse_than(report["direct"], report["layer"]) == []

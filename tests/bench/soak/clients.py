"""The load: LiveView tabs that come, click and go, and HTTP requests at a steady rate.

Run as a process of its own with a Plan as JSON. It prints a line of JSON a second, takes a new pace as a line of JSON
on its standard input, and ends when that does. Whatever the gateway does that it should not is an error with a name.
"""

import asyncio
import json
import random
import re
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import aiohttp
import picows
import uvloop
from tests.bench import liveview

HOST = "live.test"
STRANGER = "nobody.test"
"""A Host that no service has: 404."""
HEARTBEAT_S = 30.0
ANSWER_WITHIN_S = 10.0
OPENING_AT_ONCE = 8
HTTP_CONNECTIONS = 32
LOST = 0.3
"""So many of the sockets that end are cut, and come back for the same page."""
STRANGE = 200
"""One request of so many is for a Host that nobody has."""
REQUESTS = (("GET", "/api/items", None), ("GET", "/app.css", None), ("POST", "/api/items", b"x" * 400))
_TAB = re.compile(r'id="([^"]+)" data-phx-main data-phx-session="([^"]+)"')


@dataclass
class Pace:
    """What all clients do together in a second."""

    events: float
    requests: float
    tabs: float
    """Tabs that are closed, each with another one opened for it."""


@dataclass
class Plan(Pace):
    """How the load begins."""

    port: int
    sockets: int


@dataclass
class Times:
    """Durations to a tenth of a millisecond. Told within a millisecond, however many there are: it is the clients'
    event loop that tells, and what is due meanwhile would come upon the gateway all at once."""

    counts: Counter[float] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        """One more."""
        self.counts[round(seconds * 1000, 1)] += 1

    def percentiles(self) -> dict[str, float]:
        """In ms; empty without any."""
        values = sorted(self.counts.items())
        reached = list(accumulate(count for _, count in values))
        parts = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
        if not values:
            return {}
        return {name: values[bisect_left(reached, part * reached[-1])][0] for name, part in parts.items()}


@dataclass
class Counts:
    """What happened since the load began, or since the pace was changed."""

    requests: int = 0
    events: int = 0
    heartbeats: int = 0
    tabs: int = 0
    rejoins: int = 0
    late: int = 0
    """Requests that could not be sent in time, because all connections were busy."""
    errors: Counter[str] = field(default_factory=Counter)
    event_ms: Times = field(default_factory=Times)
    request_ms: Times = field(default_factory=Times)

    def told(self) -> dict[str, Any]:
        """As plain values."""
        return vars(self) | {
            "errors": dict(self.errors.most_common(20)),
            "event_ms": self.event_ms.percentiles(),
            "request_ms": self.request_ms.percentiles(),
        }


class Socket(picows.WSListener):
    """One LiveView socket: remembers what it has asked for, and when."""

    def __init__(self, load: "Load") -> None:
        super().__init__()
        self.asked: dict[str, float] = {}
        self.transport: picows.WSTransport
        self.ending = False
        self.ended = asyncio.Event()
        self.quiet = asyncio.Event()
        """Everything was answered."""
        self._load = load

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport
        self._load.open.add(self)

    def ask(self, ref: int, frame: bytes) -> None:
        """Send a frame whose answer is waited for."""
        self.quiet.clear()
        self.asked[str(ref)] = time.perf_counter()
        self.transport.send(picows.WSMsgType.TEXT, frame)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            if not self.ending:
                self._load.error(f"closed with {frame.get_close_code()}")
                self.ending = True
            transport.disconnect()
            return
        if frame.msg_type is not picows.WSMsgType.TEXT:
            return
        _, ref, _, event, payload = json.loads(frame.get_payload_as_bytes())
        sent = self.asked.pop(ref, None)
        if event != "phx_reply" or payload["status"] != "ok" or sent is None:
            self._load.error(f"an answer that was not expected: {event}")
            return
        self._load.counts.event_ms.add(time.perf_counter() - sent)
        if not self.asked:
            self.quiet.set()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        del transport
        self._load.open.discard(self)
        self.ended.set()
        if not self.ending:
            self._load.error("a socket was lost")

    async def finish(self, *, cut: bool) -> None:
        """Close in order, or cut the connection."""
        self.ending = True
        if cut:
            self.transport.disconnect(graceful=False)
        else:
            self.transport.send_close(random.choice((picows.WSCloseCode.OK, picows.WSCloseCode.GOING_AWAY)))
        await asyncio.wait_for(self.ended.wait(), ANSWER_WITHIN_S)


class Load:
    """All clients."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.pace: Pace = plan
        self.counts = Counts()
        self.open: set[Socket] = set()
        self.going = True
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)
        self._base = f"http://127.0.0.1:{plan.port}"
        self._http: aiohttp.ClientSession
        self._busy: set[asyncio.Task[None]] = set()

    def error(self, what: str) -> None:
        """Something went wrong."""
        self.counts.errors[what[:200]] += 1

    async def run(self) -> None:
        """Go on until told to end."""
        connector = aiohttp.TCPConnector(limit=HTTP_CONNECTIONS, keepalive_timeout=60)
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as self._http,
            asyncio.TaskGroup() as all_,
        ):
            tasks = [all_.create_task(self._tab(number)) for number in range(self.plan.sockets)]
            tasks += [all_.create_task(each) for each in (self._requests(), self._unanswered(), self._report())]
            await self._listen()
            self.going = False
            for task in tasks:
                task.cancel()
            for socket in list(self.open):
                socket.ending = True
                socket.transport.disconnect(graceful=False)

    # LiveView

    async def _tab(self, number: int) -> None:
        """One tab after the other."""
        path = list(liveview.MODULES)[number % len(liveview.MODULES)]
        while self.going:
            try:
                async with self._opening:
                    topic, session = await self._page(path)
                    socket = await self._connect(topic, path, session)
                await self._use(socket, topic)
                while random.random() < LOST:
                    self.counts.rejoins += 1
                    async with self._opening:
                        socket = await self._connect(topic, path, session)
                    await self._use(socket, topic)
            except (picows.WSError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self.error(f"a tab failed: {type(error).__name__} {error}")
                await asyncio.sleep(1)

    async def _page(self, path: str) -> tuple[str, str]:
        async with self._http.get(self._base + path, headers={"Host": HOST, "User-Agent": "tab"}) as answer:
            text = await answer.text()
        found = _TAB.search(text)
        if answer.status != 200 or found is None:
            raise aiohttp.ClientError(f"a page with status {answer.status}")
        return f"lv:{found[1]}", found[2]

    async def _connect(self, topic: str, path: str, session: str) -> Socket:
        socket = Socket(self)
        await picows.ws_connect(
            lambda: socket,
            f"ws://127.0.0.1:{self.plan.port}{liveview.SOCKET_PATH}?_csrf_token=c2Vzc2lvbg&vsn=2.0.0",
            extra_headers={"Host": HOST, "User-Agent": "tab"},
            websocket_handshake_timeout=ANSWER_WITHIN_S,
        )
        socket.ask(4, liveview.join(topic, path, session))
        await asyncio.wait_for(socket.quiet.wait(), ANSWER_WITHIN_S)
        self.counts.tabs += 1
        return socket

    async def _use(self, socket: Socket, topic: str) -> None:
        """Click until it is time to go."""
        ref, beat = 5, time.monotonic() + random.random() * HEARTBEAT_S
        while not socket.ended.is_set():
            await asyncio.sleep(random.expovariate(self.pace.events / self.plan.sockets))
            if socket.ended.is_set():
                break
            ref += 1
            if time.monotonic() >= beat:
                beat += HEARTBEAT_S
                socket.ask(ref, liveview.heartbeat(ref))
                self.counts.heartbeats += 1
                ref += 1
            socket.ask(ref, liveview.click(topic, ref))
            self.counts.events += 1
            if random.random() < self.pace.tabs / self.pace.events:
                await asyncio.wait_for(socket.quiet.wait(), ANSWER_WITHIN_S)
                await socket.finish(cut=random.random() < LOST)

    async def _unanswered(self) -> None:
        while self.going:
            await asyncio.sleep(1)
            since = time.perf_counter() - ANSWER_WITHIN_S
            for socket in self.open:
                for ref in [ref for ref, sent in socket.asked.items() if sent < since]:
                    del socket.asked[ref]
                    self.error("a frame without an answer")

    # HTTP

    async def _requests(self) -> None:
        due = time.monotonic()
        number = 0
        while self.going:
            due += 1 / self.pace.requests
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if len(self._busy) >= HTTP_CONNECTIONS:
                self.counts.late += 1
                continue
            number += 1
            task = asyncio.create_task(self._request(number))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

    async def _request(self, number: int) -> None:
        method, path, body = REQUESTS[number % len(REQUESTS)]
        host, expected = (STRANGER, 404) if number % STRANGE == 0 else (HOST, 200)
        referrer = f"http://{HOST}{random.choice(list(liveview.MODULES))}"
        headers = {"Host": host, "User-Agent": "tab", "Referer": referrer}
        sent = time.perf_counter()
        try:
            async with self._http.request(method, self._base + path, data=body, headers=headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.error(f"a request failed: {type(error).__name__} {error}")
            return
        self.counts.requests += 1
        self.counts.request_ms.add(time.perf_counter() - sent)
        if answer.status != expected:
            self.error(f"status {answer.status} instead of {expected}")

    # The process that has started this one

    async def _report(self) -> None:
        while self.going:
            await asyncio.sleep(1)
            print(json.dumps({"open": len(self.open), **self.counts.told()}), flush=True)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            self.pace, self.counts = Pace(**json.loads(line)), Counts(errors=self.counts.errors)


async def main(plan: Plan) -> None:
    """Put the gateway under load."""
    load: Awaitable[None] = Load(plan).run()
    with suppress(asyncio.CancelledError):
        await load


if __name__ == "__main__":
    uvloop.run(main(Plan(**json.loads(sys.argv[1]))))

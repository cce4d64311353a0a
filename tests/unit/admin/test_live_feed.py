"""Live feed: each change is sent once to each open page that can take it."""

import asyncio
import time
from typing import Any

import pytest
from gateway_parts import Parts, kept, session

from livegate.admin import live_feed as lives
from livegate.admin.bodies import FrameRange
from livegate.admin.live_feed import LiveFeed, Subscriber
from livegate.http1.refusal import Refusal

WAIT_S = 10


class Page:
    """Page that keeps its messages."""

    def __init__(self, live: LiveFeed) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.behind = self.ended = False
        self.subscriber = Subscriber(self.messages.put_nowait, lambda: self.behind, self._end)
        self._live = live
        live.join(self.subscriber)

    def _end(self) -> None:
        self.ended = True
        self._live.leave(self.subscriber)

    async def next(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while (message := await self.messages.get())["type"] != kind:
                pass
            return message


@pytest.fixture
def live(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> LiveFeed:
    monkeypatch.setattr(lives, "INTERVAL_S", 0.01)

    async def nothing() -> list[dict[str, Any]]:
        return []

    monkeypatch.setattr(parts.state.probes, "states", nothing)
    return LiveFeed(parts.state)


async def test_a_page_gets_a_snapshot_and_then_changes(parts: Parts, live: LiveFeed) -> None:
    parts.know(session(1))
    page = Page(live)
    assert (await page.next("hello"))["overview"]["sessions"] == 1
    assert [row.number for row in (await page.next("sessions"))["rows"]] == [1]
    parts.know(session(2))
    assert [row.number for row in (await page.next("sessions"))["rows"]] == [2]
    parts.history.refused_before_flow("192.0.2.1", Refusal(431, "Too long.", "head-too-long"))
    (entry,) = (await page.next("incidents"))["list"]
    assert (entry.id, entry.changed) == (1, 1)
    entry.changed = 6  # it has healed
    assert [each.changed for each in (await page.next("incidents"))["list"]] == [6]
    parts.state.end_interval()
    assert len((await page.next("steps"))["steps"]) == 1
    live.leave(page.subscriber)
    assert len(live) == 0


async def test_a_page_gets_the_frames_of_the_session_that_it_shows(parts: Parts, live: LiveFeed) -> None:
    parts.know(session(1))
    page = Page(live)
    await page.next("hello")
    for nonsense in (
        [],
        "x",
        {"watch": True},
        {"watch": "1"},
        {"watch": 10**400},
        {"watch": 1, "from": -1},
        {"watch": 99},
    ):
        live.on_message(page.subscriber, nonsense)
    for n in range(3):
        parts.record(1, kept(n))
    live.on_message(page.subscriber, {"watch": 1, "from": 1})
    message = await page.next("session")
    assert ([frame.n for frame in message["frames"]], message["detail"].number) == ([1, 2], 1)
    parts.record(1, kept(3))
    assert [frame.n for frame in (await page.next("session"))["frames"]] == [3]
    parts.history.recordings.max_bytes = 0
    parts.record(1, kept(4))  # there is no room for it, nor for those before
    parts.history.recordings.max_bytes = 10**6
    parts.record(1, kept(5))
    message = await page.next("session")
    assert [frame.n for frame in message["frames"]] == [5]
    assert message["detail"].frames == FrameRange(5, 6)
    live.leave(page.subscriber)


async def test_a_congested_page_is_updated_later_and_others_at_once(parts: Parts, live: LiveFeed) -> None:
    slow, quick = Page(live), Page(live)
    await slow.next("hello")
    slow.behind = True
    for number in range(1, 4):
        parts.know(session(number))
        assert [row.number for row in (await quick.next("sessions"))["rows"]] == [number]
    while not slow.messages.empty():
        slow.messages.get_nowait()
    slow.behind = False
    parts.know(session(1))
    rows = (await slow.next("sessions"))["rows"]
    assert {row.number for row in rows} >= {1}
    await live.close()
    assert slow.ended and quick.ended and not len(live)


async def test_a_page_that_cannot_be_updated_is_closed_and_the_others_stay(
    parts: Parts, live: LiveFeed, caplog: pytest.LogCaptureFixture
) -> None:
    broken, well = Page(live), Page(live)

    def fail(_: dict[str, Any]) -> None:
        raise ArithmeticError("broken")

    broken.subscriber.send = fail
    await well.next("hello")
    async with asyncio.timeout(WAIT_S):
        while not broken.ended:
            await asyncio.sleep(0)
    assert not well.ended
    assert "could not be updated" in caplog.text
    parts.know(session(1))
    await well.next("sessions")
    live.leave(well.subscriber)


async def test_a_page_waits_for_a_gateway_that_does_not_respond(parts: Parts, live: LiveFeed) -> None:
    main, parts.state.bridge.loop = parts.state.bridge.loop, None
    page = Page(live)
    began = time.monotonic()
    while time.monotonic() == began or not live._probing:
        await asyncio.sleep(0)
    assert page.messages.empty()
    parts.state.bridge.loop = main
    await page.next("hello")
    live.leave(page.subscriber)


async def test_the_number_of_pages_is_limited(live: LiveFeed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MAX_SUBSCRIBERS", 2)
    pages = [Page(live)]
    assert not live.is_full
    pages.append(Page(live))
    assert live.is_full
    monkeypatch.setattr(lives, "CLOSE_TIMEOUT_S", 0.01)
    pages[0].subscriber.close = lambda: None
    await live.close()
    assert len(live) == 1, "the feed does not wait longer for a page that stays"
    live.leave(pages[0].subscriber)


def test_pauses_between_rounds_limit_open_pages_to_three_per_cent_of_a_core() -> None:
    assert lives.pause_after(0.001) == lives.INTERVAL_S
    assert 0.05 / (0.05 + lives.pause_after(0.05)) == pytest.approx(0.03, abs=0.001)
    assert lives.pause_after(60) == lives.MAX_PAUSE_S

"""What open pages are told: everything once, to those that listen, whatever they say."""

import asyncio
import time
from typing import Any

import pytest
from gateway_parts import Parts, kept, session

from livegate.admin import live_feed as lives
from livegate.admin.api import Api
from livegate.admin.live_feed import Live, Viewer

WAIT_S = 10


class Page:
    """A page that remembers what it was told."""

    def __init__(self, live: Live) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.behind = self.ended = False
        self.viewer = Viewer(self.told.put_nowait, lambda: self.behind, self._end)
        self._live = live
        live.join(self.viewer)

    def _end(self) -> None:
        self.ended = True
        self._live.leave(self.viewer)

    async def next(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while (message := await self.told.get())["type"] != kind:
                pass
            return message


@pytest.fixture
def live(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr(lives, "EVERY_S", 0.01)

    async def nothing() -> list[dict[str, Any]]:
        return []

    monkeypatch.setattr(parts.state.probes, "states", nothing)
    return Live(parts.state, Api(parts.state))


async def test_a_page_is_greeted_and_then_told_what_is_new(parts: Parts, live: Live) -> None:
    parts.know(session(1))
    page = Page(live)
    assert (await page.next("hello"))["overview"]["sessions"] == 1
    assert [row["number"] for row in (await page.next("sessions"))["rows"]] == [1]
    parts.know(session(2))
    assert [row["number"] for row in (await page.next("sessions"))["rows"]] == [2]
    entry = {"id": 5, "changed": 5}
    parts.history.feed._entries["closed"].append(entry)
    assert (await page.next("incidents"))["list"] == [{"id": 5, "changed": 5}]
    entry["changed"] = 6  # it has healed
    assert (await page.next("incidents"))["list"] == [{"id": 5, "changed": 6}]
    parts.state.end_step()
    assert len((await page.next("steps"))["steps"]) == 1
    live.leave(page.viewer)
    assert len(live) == 0


async def test_the_session_that_a_page_shows_is_told_frame_by_frame(parts: Parts, live: Live) -> None:
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
        live.said(page.viewer, nonsense)
    for n in range(3):
        parts.record(1, kept(n))
    live.said(page.viewer, {"watch": 1, "from": 1})
    told = await page.next("session")
    assert ([frame["n"] for frame in told["frames"]], told["detail"]["number"]) == ([1, 2], 1)
    parts.record(1, kept(3))
    assert [frame["n"] for frame in (await page.next("session"))["frames"]] == [3]
    parts.history.recordings.max_bytes = 0
    parts.record(1, kept(4))  # there is no room for it, nor for those before
    parts.history.recordings.max_bytes = 10**6
    parts.record(1, kept(5))
    told = await page.next("session")
    assert [frame["n"] for frame in told["frames"]] == [5]
    assert told["detail"]["frames"] == {"first": 5, "end": 6}
    live.leave(page.viewer)


async def test_a_page_that_does_not_read_is_told_later_and_others_at_once(parts: Parts, live: Live) -> None:
    slow, quick = Page(live), Page(live)
    await slow.next("hello")
    slow.behind = True
    for number in range(1, 4):
        parts.know(session(number))
        assert [row["number"] for row in (await quick.next("sessions"))["rows"]] == [number]
    while not slow.told.empty():
        slow.told.get_nowait()
    slow.behind = False
    parts.know(session(1))
    rows = (await slow.next("sessions"))["rows"]
    assert {row["number"] for row in rows} >= {1}
    await live.end()
    assert slow.ended and quick.ended and not len(live)


async def test_a_page_that_cannot_be_told_goes_and_the_others_stay(
    parts: Parts, live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    broken, well = Page(live), Page(live)

    def fail(_: dict[str, Any]) -> None:
        raise ArithmeticError("broken")

    broken.viewer.send = fail
    await well.next("hello")
    async with asyncio.timeout(WAIT_S):
        while not broken.ended:
            await asyncio.sleep(0)
    assert not well.ended
    assert "could not be told" in caplog.text
    parts.know(session(1))
    await well.next("sessions")
    live.leave(well.viewer)


async def test_a_gateway_that_does_not_answer_is_waited_for(parts: Parts, live: Live) -> None:
    main, parts.state.bridge.loop = parts.state.bridge.loop, None
    page = Page(live)
    began = time.monotonic()
    while time.monotonic() == began or not live._looking:
        await asyncio.sleep(0)
    assert page.told.empty()
    parts.state.bridge.loop = main
    await page.next("hello")
    live.leave(page.viewer)


async def test_there_are_so_many_pages_and_no_more(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lives, "MAX_VIEWERS", 2)
    pages = [Page(live)]
    assert not live.is_full
    pages.append(Page(live))
    assert live.is_full
    monkeypatch.setattr(lives, "END_WITHIN_S", 0.01)
    pages[0].viewer.end = lambda: None
    await live.end()
    assert len(live) == 1, "one that does not go is not waited for"
    live.leave(pages[0].viewer)

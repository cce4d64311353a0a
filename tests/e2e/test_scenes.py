"""Genuine sessions, played through the real process: what operators are told of them is what happened."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from gateway_process import Gateway, free_port
from scene_player import ScenePlayer, ScriptedServer, head_of

from scenes.dom import differences
from scenes.golden import SCENES, Channel, Incident, Tab
from scenes.recording import Step, scene

LONGPOLL = "/live/longpoll"
SETTLED_S = 3


@dataclass
class Staging:
    gateway: Gateway
    admin: str
    port: int
    """Of the scripted server."""


@pytest.fixture(scope="module")
def staging(folder: Path) -> Iterator[Staging]:
    port, admin = free_port(), free_port()
    settings = {
        "services": {"default": f"http://127.0.0.1:{port}"},
        "rate_limit": {"user": None, "ip": None},
        "admin": {"listen": f"127.0.0.1:{admin}"},
    }
    with Gateway(folder, settings) as gateway:
        gateway.output.wait_for("admin listener on")
        yield Staging(gateway, f"http://127.0.0.1:{admin}/api/v1", port)


@dataclass
class Seen:
    """One session as the API tells of it."""

    detail: dict[str, Any]
    frames: list[dict[str, Any]]
    """Each with `line`, `raw` and `page`, in order."""

    @property
    def heads(self) -> list[tuple[Any, ...]]:
        return [(each["line"]["dir"] == "up", each["line"]["size"], *_head(each["raw"])) for each in self.frames]

    @property
    def topics(self) -> set[str]:
        return {view["topic"] for view in self.detail["views"]}


def _head(raw: str) -> tuple[Any, ...]:
    """Empty for a binary frame."""
    return head_of(raw) if raw.startswith("[") else ()


@dataclass
class Result:
    name: str
    steps: list[Step]
    sessions: list[Seen]

    def frames(self, expected: Tab | Channel, *, until: int | None = None) -> list[tuple[Any, ...]]:
        """The heads of a session's frames as they were recorded, up to a line of the recording."""
        found: list[tuple[Any, ...]] = []
        for step in self.steps:
            if step.number == until:
                break
            if step.kind == "frame" and step.conn in expected.conns:
                head = head_of(step.data) if step.text else ()
                found.append((step.up, len(step.data), *head))
            elif not expected.conns and step.path.startswith(LONGPOLL):
                found += [(step.kind == "ask", len(each), *head_of(each)) for each in _polled(step)]
        return found

    def of(self, expected: Tab | Channel) -> Seen:
        """The session that has exactly the frames that were expected of it, in their order."""
        wanted = self.frames(expected)
        alike = [each for each in SCENES[self.name] if self.frames(each) == wanted]  # such as two live_reload sockets
        found = [seen for seen in self.sessions if seen.heads == wanted]
        if len(found) == len(alike):
            return found[alike.index(expected)]
        closest = max(self.sessions, key=lambda seen: len(set(seen.heads) & set(wanted)), default=None)
        heads = closest.heads if closest is not None else []
        missing, strange = [w for w in wanted if w not in heads], [h for h in heads if h not in wanted]
        pytest.fail(f"no session has the frames of {expected}; of the closest are missing {missing}, extra {strange}")


def _polled(step: Step) -> list[bytes]:
    if step.kind == "ask":
        return step.data.split(b"\n") if step.method == "POST" else []
    if step.kind == "answer" and step.status == 200:
        return [each.encode() for each in json.loads(step.data).get("messages", ())]
    return []


async def told(admin: aiohttp.ClientSession, base: str, path: str) -> Any:
    async with admin.get(base + path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def new_sessions(admin: aiohttp.ClientSession, base: str, after: set[int], frames: int) -> list[Seen]:
    """All sessions of a scene, once they have as many frames as it had; or as they are after a while."""
    until = asyncio.get_running_loop().time() + SETTLED_S
    while True:
        rows = (await told(admin, base, "/sessions"))["sessions"]
        numbers = [row["number"] for row in rows if row["number"] not in after]
        details = [await told(admin, base, f"/sessions/{number}") for number in numbers]
        count = sum(detail["frames"]["end"] - detail["frames"]["first"] for detail in details)
        if count >= frames or asyncio.get_running_loop().time() > until:
            break
        await asyncio.sleep(0.05)
    found = []
    for detail in details:
        span, number = detail["frames"], detail["number"]
        paths = [f"/sessions/{number}/frames/{frame}" for frame in range(span["first"], span["end"])]
        found.append(Seen(detail, [await told(admin, base, path) for path in paths]))
    return found


RESULTS: dict[str, Result] = {}


async def played(staging: Staging, name: str) -> Result:
    """Play a scene once; its sessions as they are while everything is still open."""
    if name in RESULTS:
        return RESULTS[name]
    steps = scene(name)
    async with (
        ScriptedServer(staging.port) as server,
        ScenePlayer(staging.gateway.port, server) as player,
        aiohttp.ClientSession() as admin,
    ):
        before = {row["number"] for row in (await told(admin, staging.admin, "/sessions"))["sessions"]}
        for step in steps:
            await player.play(step)
        result = Result(name, steps, [])
        frames = sum(len(result.frames(expected)) for expected in SCENES[name])
        result.sessions = await new_sessions(admin, staging.admin, before, frames)
        await player.leave()
    RESULTS[name] = result
    return result


def scenes_of(*kinds: type) -> list[Any]:
    return [
        pytest.param(name, each, id=f"{name}-{place}")
        for name, sessions in SCENES.items()
        for place, each in enumerate(sessions)
        if isinstance(each, kinds)
    ]


@pytest.mark.parametrize("name", SCENES)
async def test_a_scene_has_as_many_sessions_as_there_were_tabs_and_channel_sockets(staging: Staging, name: str) -> None:
    result = await played(staging, name)
    shown = [(seen.detail["number"], sorted(seen.topics)) for seen in result.sessions]
    assert len(result.sessions) == len(SCENES[name]), shown


@pytest.mark.parametrize(("name", "expected"), scenes_of(Tab, Channel))
async def test_each_frame_stands_under_the_tab_that_sent_it(
    staging: Staging, name: str, expected: Tab | Channel
) -> None:
    result = await played(staging, name)
    seen = result.of(expected)
    assert [each["line"]["n"] for each in seen.frames] == list(range(len(seen.frames)))


@pytest.mark.parametrize(("name", "expected"), scenes_of(Tab))
async def test_a_tab_is_told_as_it_was(staging: Staging, name: str, expected: Tab) -> None:
    detail = (await played(staging, name)).of(expected).detail
    assert detail["path"] == expected.path
    assert detail["transport"] == expected.transport
    assert _events(detail) == expected.events.split()
    assert detail["events"] == len(expected.events.split())
    assert detail["server_pushes"] == expected.pushes
    assert [(each["name"], each["sent"], each["chunks"]) for each in detail["uploads"]] == list(expected.uploads)
    assert {view["module"] for view in detail["views"]} >= expected.modules
    _common(detail, expected)


@pytest.mark.parametrize(("name", "expected"), scenes_of(Channel))
async def test_a_channel_socket_is_told_as_it_was(staging: Staging, name: str, expected: Channel) -> None:
    _common((await played(staging, name)).of(expected).detail, expected)


def _events(detail: dict[str, Any]) -> list[str]:
    marks = {"ok": "", "crash": "!"}
    kinds = ("event", "patch")
    return [each["name"] + marks.get(each["outcome"], "?") for each in detail["list"] if each["kind"] in kinds]


def _common(detail: dict[str, Any], expected: Tab | Channel) -> None:
    for key in ("joins", "crashes"):
        counts = {view["topic"]: view[key] for view in detail["views"] if view[key]}
        assert counts == _by_topic(detail, getattr(expected, key)), key
    assert detail["refusals"] == expected.refused
    assert detail["unanswered"] == expected.unanswered
    assert [_incident(each) for each in detail["incidents"]] == list(expected.incidents)
    assert detail["crashes"] == sum(expected.crashes.values())
    assert [each["close_code"] for each in detail["connections"]] == list(expected.closed)
    assert all(each["closed_by"] == "client" for each in detail["connections"] if each["close_code"])


def _incident(told: dict[str, Any]) -> Incident:
    return Incident(told["slug"], told["view"], tuple(told["events"]), told["healed"], told["times"])


def _by_topic(detail: dict[str, Any], counts: dict[str, int]) -> dict[str, int]:
    main = next((view["topic"] for view in detail["views"] if view["topic"].startswith("lv:phx-")), "")
    return {main if name == "*" else name if ":" in name else f"lv:{name}": count for name, count in counts.items()}


@pytest.mark.parametrize(
    ("name", "expected"), [each for each in scenes_of(Tab) if each.values[1].events or each.values[1].path == "/admin"]
)
async def test_the_page_at_a_frame_is_the_browsers_own(staging: Staging, name: str, expected: Tab) -> None:
    result = await played(staging, name)
    seen = result.of(expected)
    wrong, compared = [], 0
    for step in result.steps:
        if step.kind != "dom" or step.tab != expected.tab:
            continue
        count = len(result.frames(expected, until=step.number))
        if not count or (count == len(seen.frames) and expected.closed[-1] is not None):
            continue  # the tab was not there yet, or has gone on to another page
        page = seen.frames[count - 1]["page"]
        compared += 1
        found = [page["why"]] if page["why"] else differences(page["html"], step.dom)
        wrong += [f"line {step.number}: {each}" for each in found]
    assert compared
    assert not wrong, f"{len(wrong)} of {compared} differ:\n" + "\n".join(wrong[:3])

"""Questions cross from the admin listener's thread to the gateway's event loop, and hold it for a moment at most."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gateway_parts import Parts, session

from livegate.admin import state as desks
from livegate.admin.api import Api
from livegate.admin.export import asset
from livegate.admin.state import SilentError


async def test_a_question_is_answered_on_the_gateways_loop(parts: Parts) -> None:
    assert await parts.desk.ask(asyncio.get_running_loop) is parts.loop
    with pytest.raises(ZeroDivisionError):
        await parts.desk.ask(lambda: 1 / 0)


async def test_on_the_loop_itself_it_is_answered_at_once(parts: Parts) -> None:
    parts.desk.open(asyncio.get_running_loop())
    assert await parts.desk.ask(threading.get_ident) == threading.get_ident()
    assert await parts.desk.ask_each([1, 2, 3], lambda n: {"n": n} if n != 2 else None) == [{"n": 1}, {"n": 3}]


async def test_a_loop_that_hangs_has_ended_or_has_not_begun_is_said_so(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "ASK_WITHIN_S", 0.05)
    api, hang = Api(parts.desk), threading.Event()
    parts.loop.call_soon_threadsafe(hang.wait, 10)
    ran: list[int] = []
    with pytest.raises(SilentError, match="has not answered"):
        await parts.desk.ask(ran.append, 1)
    assert (await api.answer("GET", "/healthz")).status == 503
    hang.set()
    monkeypatch.setattr(desks, "ASK_WITHIN_S", 5)
    assert (await api.answer("GET", "/healthz")).status == 200
    assert not ran, "nobody waits for it: it is not done"
    await asyncio.to_thread(_end, parts.loop)
    assert b"has ended" in (await api.answer("GET", "/healthz")).body
    parts.desk._main = None
    assert b"does not run yet" in (await api.answer("GET", "/healthz")).body


def _end(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon_threadsafe(loop.stop)
    while loop.is_running():
        pass
    loop.close()


async def test_five_thousand_sessions_are_told_of_in_small_portions(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.know(*(session(number) for number in range(1, 5001)))
    portions: list[int] = []
    original = desks._portion

    def counted(items: Any, start: int, *more: Any) -> int:
        end: int = original(items, start, *more)
        portions.append(end - start)
        return end

    monkeypatch.setattr(desks, "_portion", counted)
    monkeypatch.setattr(desks, "PORTION_S", 0)
    rows = await Api(parts.desk).rows(list(range(1, 5001)))
    assert [row["number"] for row in rows] == list(range(1, 5001))
    assert set(portions) == {1}, "when the time is over, the event loop is left alone"


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_ready_means_that_one_backend_is_up_or_all_when_asked_so(parts: Parts, listener: int) -> None:
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        parts.current.value = parts.settings(services={"a.test": f"http://127.0.0.1:{listener}", "b.test": down})
        states = {each["service"]: each["why"] for each in await parts.desk.backend_states()}
        assert states == {"a.test": "", "b.test": "connection refused"}
        checks = {check.name: check for check in await parts.desk.checks()}
        assert checks["backends"].good
        assert "1 of 2 down: b.test (connection refused)" in checks["backends"].why
        assert not (await parts.desk.checks(every_backend=True))[-1].good
        parts.current.value = parts.settings(services={f"{n}.test": down for n in range(9)})
        last = (await parts.desk.checks())[-1]
        assert not last.good
        assert last.why.startswith("9 of 9 down") and last.why.endswith("and 4 more")
    assert len(parts.desk._probed) == 1, "backends that are gone are forgotten"


async def test_a_name_that_does_not_resolve_and_a_backend_that_hangs_are_down(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await desks._connection_problem("nowhere.invalid", 1)
    monkeypatch.setattr(desks, "PROBE_WITHIN_S", 0.01)

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", never)
    assert await desks._connection_problem("127.0.0.1", 1) == "no connection within 0.01 s"


def test_settings_are_told_as_they_stand_in_the_file_without_keys_and_tokens(parts: Parts) -> None:
    token = "sixteen-characters-of-secret"
    parts.current.value = parts.settings(
        admin={"listen": "127.0.0.1:9", "token": token}, trusted_proxies=["10.0.0.0/8"], rate_limit={"ip": None}
    )
    told = parts.desk.settings_told()
    assert token not in str(told)
    assert told["admin"] == {"listen": "127.0.0.1:9", "token": "set", "hosts": []}
    assert told["trusted_proxies"] == ["10.0.0.0/8"]
    assert told["rate_limit"] == {"user": "100/minute", "ip": None, "dry_run": False}
    assert told["source"] == str(Path(told["source"])) and told["watched"] == [told["source"]]
    assert "routes" not in told
    parts.current.value = parts.settings(admin={})
    assert parts.desk.settings_told()["admin"]["token"] is None


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {
            "admin": {"listen": ":9", "token": "sixteen-characters", "hosts": ["ops.test"]},
            "tracing": {"endpoint": "http://10.0.0.2:4318", "headers": {"X-Key": "sixteen-characters"}},
            "inspect": {"frame_log": {"path": "frames.jsonl"}, "redact_fields": ["pet"]},
            "websocket": {"allowed_origins": ["https://a.test"], "max_age": "1h", "idle": None},
        },
    ],
)
def test_settings_are_told_as_the_openapi_document_says(parts: Parts, sections: dict[str, Any]) -> None:
    parts.current.value = parts.settings(**sections)
    told = parts.desk.settings_told()
    assert "sixteen-characters" not in str(told)
    components = json.loads(asset("openapi.json"))["components"]
    jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Settings", "components": components}).validate(told)


def test_a_step_of_the_trend_and_the_overview(parts: Parts) -> None:
    parts.know(session(1))
    parts.desk.end_step()
    overview = parts.desk.overview()
    assert (overview["sockets"], overview["sessions"], len(overview["steps"])) == (0, 1, 1)
    assert overview["began"] <= time.time()

"""Queries and commands of the admin API over the gateway's parts."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gateway_parts import Parts, session
from msgspec import to_builtins
from secret_session import CANARY, session_with_secrets

from certificates import Authority
from livegate.admin.session_export import asset
from livegate.phoenix.model import Session


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_ready_means_that_one_backend_is_up_or_all_when_asked_so(parts: Parts, listener: int) -> None:
    with contextlib.closing(socket.socket()) as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        parts.current.value = parts.settings(services={"a.test": f"http://127.0.0.1:{listener}", "b.test": down})
        states = {each.service: each.why for each in await parts.state.probes.states()}
        assert states == {"a.test": "", "b.test": "connection refused"}
        checks = {check.name: check for check in (await parts.state.readiness()).checks}
        assert checks["backends"].good
        assert "1 of 2 down: b.test (connection refused)" in checks["backends"].why
        assert not (await parts.state.readiness(every_backend=True)).checks[-1].good
        parts.current.value = parts.settings(services={f"{n}.test": down for n in range(9)})
        last = (await parts.state.readiness()).checks[-1]
        assert not last.good
        assert last.why.startswith("9 of 9 down") and last.why.endswith("and 4 more")
    assert len(parts.state.probes._results) == 1, "results of removed backends are dropped"


def test_settings_have_no_keys_and_tokens(parts: Parts) -> None:
    token = "sixteen-characters-of-secret"
    parts.current.value = parts.settings(
        admin={"listen": "127.0.0.1:9", "token": token}, trusted_proxies=["10.0.0.0/8"], rate_limit={"ip": None}
    )
    values = parts.state.settings_json()
    assert token not in str(values)
    assert values["admin"] == {"listen": "127.0.0.1:9", "token": "set", "hosts": []}
    assert values["trusted_proxies"] == ["10.0.0.0/8"]
    assert values["rate_limit"] == {"user": "100/minute", "ip": None, "dry_run": False}
    assert values["source"] == str(Path(values["source"])) and values["watched"] == [values["source"]]
    assert "routes" not in values
    parts.current.value = parts.settings(admin={})
    assert parts.state.settings_json()["admin"]["token"] is None


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {
            "admin": {"listen": ":9", "token": "sixteen-characters", "hosts": ["ops.test"]},
            "tracing": {"endpoint": "http://10.0.0.2:4318", "headers": {"X-Key": "sixteen-characters"}},
            "inspect": {"frame_log": {"path": "frames.jsonl"}, "redact_fields": ["pet"]},
            "websocket": {"allowed_origins": ["https://a.test"], "max_age": "1h", "idle": None},
            "tls": {"certificates": {"a.test": "a.pem"}},
        },
    ],
)
def test_settings_match_the_openapi_document(parts: Parts, sections: dict[str, Any]) -> None:
    Authority().write(parts.folder / "a.pem", "a.test")
    parts.current.value = parts.settings(**sections)
    values = parts.state.settings_json()
    assert "sixteen-characters" not in str(values)
    components = json.loads(asset("openapi.json"))["components"]
    jsonschema.Draft202012Validator({"$ref": "#/components/schemas/Settings", "components": components}).validate(
        values
    )


def test_totals_have_the_time_series(parts: Parts) -> None:
    parts.know(session(1))
    parts.state.end_interval()
    totals = parts.state.totals()
    assert (totals.sockets, totals.sessions, len(totals.steps)) == (0, 1, 1)
    assert totals.began <= time.time()


async def test_no_text_of_a_session_brings_a_secret(parts: Parts) -> None:
    parts.know(session_with_secrets())
    collected = to_builtins([parts.state._row(1), parts.state._detail(1)])
    assert json.dumps(collected).count(CANARY) > 20, "they are in the session"
    redacted = [await parts.state.rows([1]), await parts.state.detail(1)]
    assert CANARY not in json.dumps(to_builtins(redacted))


async def test_a_session_with_nothing_in_it_has_a_row_and_a_detail(parts: Parts) -> None:
    parts.know(Session(1, "x", 0.0, 0.0))
    assert [row.state for row in await parts.state.rows([1, 2])] == ["closed"]
    assert (await parts.state.detail(1)).causes == []

"""Each rule fires by its fault, and none on what is well."""

from collections import Counter
from typing import Any

import pytest

from livegate.operate.causes import RULES, Case, causes_of
from livegate.phoenix.model import Session, SocketSeen, View


def session(**values: Any) -> Session:
    made = Session(1, "phx-1", 0.0, 0.0)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def tab(version: str | None, modern: bool | None) -> Session:
    return session(views={"lv:a": View("lv:a", path="/", version=version, modern_client=modern)})


FAULTS = [
    (Case(service="a.test", refused="origin-refused", status=403, upgrade=True), "origin-refused"),
    (Case(refused="rate-limit-user", status=429), "rate-limit"),
    (Case(refused="rate-limit-ip", status=429), "rate-limit"),
    (Case(code=1008, by="gateway", reason="too many messages"), "frame-rate"),
    (Case(refused="sockets-per-client", status=503), "too-many-sockets"),
    (Case(refused="unmapped-host", status=404), "host-unknown"),
    (Case(refused="backend-unreachable", status=502), "backend-unreachable"),
    (Case(refused="backend-untrusted", status=502), "backend-unreachable"),
    (Case(refused="timeout-connect", status=504), "backend-unreachable"),
    (Case(refused="timeout-upgrade", status=504), "backend-slow"),
    (Case(refused="draining", status=503), "gateway-draining"),
    (Case(code=1012, by="gateway", reason="the gateway is being stopped"), "gateway-draining"),
    (Case(code=1012, by="gateway", reason="the service was removed"), "service-removed"),
    (Case(code=1012, by="gateway", reason="open for as long as allowed"), "max-age"),
    (Case(upgrade=True, status=403), "check-origin"),
    (Case(session=session(refusals=Counter(stale=1))), "stale"),
    (Case(session=session(refusals=Counter(stale=4))), "stale"),
    (Case(session=session(refusals=Counter(unauthorized=1))), "unauthorized"),
    (Case(session=tab("0.20.17", True)), "versions-apart"),
    (Case(session=tab("1.1.3", False)), "versions-apart"),
    (Case(code=1000, by="client", reason="heartbeat timeout"), "heartbeat-lost"),
    (Case(code=1000, by="backend"), "app-closed"),
    (Case(code=1002, by="backend"), "app-closed"),
    (Case(code=1006, by="backend"), "backend-lost"),
    (Case(code=1001, by="backend"), "backend-draining"),
    (Case(code=1012, by="backend"), "backend-draining"),
    (Case(code=1011, by="backend"), "backend-failed"),
    (Case(code=1006, by="gateway", reason="idle"), "idle"),
    (Case(code=1006, by="gateway", reason="no pong"), "no-pong"),
    (Case(code=1009, by="gateway"), "message-too-big"),
    (Case(code=1009, by="backend"), "message-too-big"),
    (Case(code=1007, by="gateway", reason="text that is not UTF-8"), "protocol"),
    (Case(session=session(sockets=[SocketSeen("longpoll", "2", 0.0)])), "long-poll-pinned"),
    (Case(session=session(crashes=3)), "crash-loop"),
]


@pytest.mark.parametrize(("case", "slug"), FAULTS)
def test_a_fault_has_its_cause_and_only_that(case: Case, slug: str) -> None:
    (cause,) = causes_of(case)
    assert cause.slug == slug
    for text in (cause.title, cause.why, cause.todo):
        assert text[0].isupper()
        assert "None" not in text


def test_every_rule_has_a_fault() -> None:
    assert len(RULES) >= 12
    for rule in RULES:
        assert any(rule(case) is not None for case, _ in FAULTS), rule.__name__


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(status=200),
        Case(status=403),
        Case(status=101, upgrade=True),
        Case(code=1000, by="client"),
        Case(code=1001, by="client"),
        Case(code=1006, by="client"),
        Case(code=1000, by="backend", reason="bye"),
        Case(code=4001, by="backend", reason="logged out"),
        Case(session=session()),
        Case(session=tab("0.20.17", False)),
        Case(session=tab("1.1.3", True)),
        Case(session=tab(None, True)),
        Case(session=tab("1.1.3", None)),
        Case(session=session(crashes=1, sockets=[SocketSeen("websocket", "2", 0.0)])),
        Case(session=session(sockets=[SocketSeen("longpoll", "2", 0.0), SocketSeen("websocket", "2", 0.0)])),
    ],
)
def test_what_is_well_has_none(case: Case) -> None:
    assert causes_of(case) == []


def test_the_setting_that_helps_is_named_under_its_service() -> None:
    (cause,) = causes_of(Case(service="a.test", refused="origin-refused", upgrade=True, status=403))
    assert "services.a.test.websocket.allowed_origins" in cause.todo

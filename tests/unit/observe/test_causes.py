"""Each rule fires by its fault, and none on what is well."""

import re
from pathlib import Path
from typing import Any

import pytest

import livegate
from livegate.observe.causes import RULES, Case, causes_of, refusals, slug_of
from livegate.phoenix.incidents import catalog
from livegate.phoenix.model import Push, SocketInfo
from livegate.settings.schema import SettingsFile

CHECKOUT = Path(__file__).parents[3]
PACKAGE = Path(livegate.__file__).parent
ORIGIN = "https://pages.example"


def quiet(seconds: float, heartbeats: int = 1, code: int = 1000) -> SocketInfo:
    """A socket that ended so long after its last frame."""
    end = 10.0 + seconds
    return SocketInfo("websocket", "2", 0.0, last_frame_at=10.0, closed_at=end, close_code=code, heartbeats=heartbeats)


def pushed(kind: Any = "event", name: str = "save") -> Push:
    return Push(kind, name, "click", "CartLive", "lv:a", "4", "5", 1.0, 100, None, "closed")


LOST = (pushed(),)
UP = {"upgrade": True, "socket_url": True}

FAULTS = [
    # Refused by the gateway
    (Case(service="a.test", refusal_reason="origin-refused", status=403, origin=ORIGIN, **UP), "origin-refused"),
    (Case(service="a.test", refusal_reason="origin-refused", status=403, **UP), "origin-refused"),
    (Case(refusal_reason="rate-limit-user", status=429), "rate-limit"),
    (Case(refusal_reason="rate-limit-ip", status=429), "rate-limit"),
    (Case(refusal_reason="sockets-total", status=503), "too-many-sockets"),
    (Case(refusal_reason="sockets-per-client", status=503), "too-many-sockets"),
    (Case(refusal_reason="unmapped-host", status=404), "host-unknown"),
    (Case(refusal_reason="tls-required", status=426, **UP), "tls-required"),
    (Case(refusal_reason="host-malformed", status=400), "request-malformed"),
    (Case(refusal_reason="upgrade-malformed", status=426, **UP), "upgrade-malformed"),
    (Case(refusal_reason="head-large", status=431), "head-too-large"),
    (Case(refusal_reason="request-line-long", status=414), "head-too-large"),
    (Case(refusal_reason="request-head-slow", status=408), "head-slow"),
    (Case(refusal_reason="body-too-large", status=413), "body-too-large"),
    (Case(service="a.test", refusal_reason="backend-unreachable", status=502), "backend-unreachable"),
    (Case(service="a.test", refusal_reason="timeout-connect", status=504), "backend-unreachable"),
    (Case(service="a.test", refusal_reason="backend-untrusted", status=502), "backend-untrusted"),
    (Case(refusal_reason="timeout-upgrade", status=504), "backend-slow"),
    (Case(refusal_reason="timeout-response", status=504), "backend-slow"),
    (
        Case(refusal_reason="backend-broken", failure_detail="chose a subprotocol that was not offered", **UP),
        "handshake-wrong",
    ),
    (
        Case(service="a.test", refusal_reason="backend-broken", failure_detail="server closed connection", status=502),
        "backend-broken",
    ),
    (Case(service="a.test", refusal_reason="backend-invalid", status=502), "backend-broken"),
    (Case(refusal_reason="client-gone", status=499, waited_s=2.6, **UP), "client-gave-up"),
    (Case(refusal_reason="internal-error", status=500), "gateway-failed"),
    (Case(refusal_reason="unrouted", status=500), "gateway-failed"),
    (Case(code=1011, by="gateway", reason="the gateway failed"), "gateway-failed"),
    (Case(refusal_reason="killed", status=499), "killed"),
    (Case(code=1006, by="gateway", reason="killed"), "killed"),
    (Case(refusal_reason="draining", status=503), "gateway-draining"),
    (Case(code=1012, by="gateway", reason="the gateway is being stopped"), "gateway-draining"),
    # Refused by the app
    (Case(service="a.test", status=403, origin=ORIGIN, **UP), "check-origin"),
    (Case(service="a.test", status=403, origin=ORIGIN, origin_policy="rewrite", **UP), "check-origin"),
    (Case(service="a.test", status=403, origin="`;--", origin_policy="drop", **UP), "check-origin"),
    (Case(status=403, **UP), "connect-refused"),
    (Case(status=403, origin=ORIGIN, vsn_known=False, **UP), "vsn-refused"),
    (Case(status=401, **UP), "login-wanted"),
    (Case(service="a.test", status=404, **UP), "no-socket-there"),
    (Case(status=301, **UP), "upgrade-redirected"),
    (Case(service="a.test", status=200, **UP), "no-websocket-there"),
    (Case(service="a.test", status=400, **UP), "upgrade-refused-there"),
    (Case(service="a.test", status=426, **UP), "upgrade-refused-there"),
    (Case(status=500, **UP), "upgrade-failed-there"),
    (Case(status=400, socket_url=True, websocket_fields=True), "upgrade-stripped"),
    # Sockets that ended
    (Case(service="a.test", code=1012, by="gateway", reason="the service was removed"), "service-removed"),
    (Case(code=1012, by="gateway", reason="open for as long as allowed"), "max-age"),
    (Case(code=1012, by="gateway", reason="closed by an operator"), "operator-closed"),
    (Case(code=4000, by="gateway", reason=""), "operator-closed"),
    (Case(code=1006, by="gateway", reason="idle"), "idle"),
    (Case(code=1006, by="gateway", reason="idle", socket=quiet(20.0)), "idle"),
    (Case(code=1006, by="gateway", reason="no pong"), "no-pong"),
    (Case(code=1006, by="gateway", reason="no pong", socket=quiet(21.0), unanswered=LOST), "no-pong"),
    (Case(code=1006, by="gateway", reason="no pong", socket=quiet(41.0), heartbeat_pending=True), "no-pong"),
    (Case(code=1008, by="gateway", reason="too many frames"), "frame-rate"),
    (Case(code=1008, by="gateway", reason="too many bytes"), "frame-rate"),
    (Case(code=1009, by="gateway", reason="message too big"), "message-too-big"),
    (Case(code=1007, by="gateway", reason="text that is not UTF-8"), "protocol"),
    (Case(code=1002, by="gateway", reason="masked frame"), "protocol"),
    (Case(code=1000, by="client", reason="heartbeat timeout"), "heartbeat-lost"),
    (Case(code=1000, by="backend", socket=quiet(60.0, 0), previous_socket=quiet(60.0, 0)), "app-idle"),
    (Case(code=1002, by="backend", socket=quiet(60.0, 0, 1002), previous_socket=quiet(60.0, 0, 1002)), "app-idle"),
    (Case(code=1000, by="backend", socket=quiet(3.0), unanswered=LOST), "app-closed"),
    (Case(code=1005, by="backend", socket=quiet(3.0), unanswered=LOST), "app-closed"),
    (Case(code=1008, by="backend", reason="no token"), "app-policy"),
    (Case(code=1006, by="backend"), "backend-lost"),
    (Case(code=1001, by="backend", unanswered=LOST), "backend-draining"),
    (Case(code=1012, by="backend"), "backend-draining"),
    (Case(code=1011, by="backend"), "backend-failed"),
    (Case(code=1009, by="backend"), "too-big-there"),
    (Case(code=1009, by="client"), "too-big-there"),
    (Case(code=1002, by="backend", socket=quiet(3.0)), "frame-refused"),
    (Case(code=1002, by="backend", reason="bad frame"), "frame-refused"),
    (Case(code=1007, by="client"), "frame-refused"),
    (Case(code=3410, by="backend"), "long-poll-gone"),
]
SLUGS = sorted(slug_of(rule) for rule in RULES)


@pytest.mark.parametrize(("case", "slug"), FAULTS)
def test_a_fault_has_its_cause_and_only_that(case: Case, slug: str) -> None:
    (cause,) = causes_of(case)
    assert cause.slug == slug
    for text in (cause.title, cause.why, cause.todo):
        assert text[0].isupper() or text[0] == "`"
        assert "None" not in text
        assert "  " not in text
        assert text.count("`") % 2 == 0
        assert len(text) < 500
    assert cause.why.endswith((".", ":"))
    assert cause.todo.endswith(".")


def test_every_rule_has_a_fault_and_a_slug_of_its_own() -> None:
    assert len(RULES) >= 12
    assert len(set(SLUGS)) == len(RULES)
    assert not set(SLUGS) & set(catalog.SLUGS)
    assert sorted({slug for _, slug in FAULTS}) == SLUGS


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(status=200),
        Case(status=403),
        Case(status=101, upgrade=True, socket_url=True),
        Case(status=200, socket_url=True),
        Case(refusal_reason="tls-required", status=308),
        Case(refusal_reason="client-gone", status=499),
        Case(code=1000, by="client"),
        Case(code=1001, by="client"),
        Case(code=1005, by="client"),
        Case(code=1006, by="client"),
        Case(code=1000, by="backend"),
        Case(code=1005, by="backend"),
        Case(code=1000, by="backend", reason="bye"),
        Case(code=4001, by="backend", reason="logged out"),
        Case(status=400, socket_url=True),  # somebody looks at a socket's URL with a browser
        Case(
            refusal_reason="client-gone", status=499, waited_s=0.4, **UP
        ),  # a tab that was closed while it was loading
        Case(refusal_reason="client-gone", status=499, **UP),
        Case(code=1000, by="client", reason="bye"),
        Case(code=1006, by="gateway", reason="idle", socket=quiet(60.0)),  # a laptop that sleeps
        Case(code=1006, by="gateway", reason="idle", socket=quiet(60.0), unanswered=LOST),
        Case(code=1006, by="gateway", reason="no pong", socket=quiet(21.0)),
        Case(code=1000, by="client", reason="heartbeat timeout", socket=quiet(30.0)),
        Case(code=1000, by="backend", socket=quiet(60.0)),
        Case(code=1002, by="backend", socket=quiet(60.0)),
        Case(code=1002, by="backend"),
        Case(code=1000, by="backend", socket=quiet(60.0, 0)),  # it fell asleep before its first heartbeat
        Case(code=1000, by="backend", socket=quiet(60.0, 0), previous_socket=quiet(1.0, 0)),
        Case(code=1000, by="backend", socket=quiet(60.0, 0), previous_socket=quiet(60.0, 0, 1002)),
        Case(code=1000, by="backend", socket=quiet(60.0, 1), previous_socket=quiet(60.0, 0)),
        Case(code=1000, by="backend", socket=quiet(3.0)),  # a logout: `disconnect` is broadcast
        Case(code=1005, by="backend", socket=quiet(3.0)),
        Case(code=1001, by="backend"),
        Case(code=1000, by="backend", socket=quiet(60.0), unanswered=LOST),
    ],
)
def test_what_is_well_has_none(case: Case) -> None:
    assert causes_of(case) == []


@pytest.mark.parametrize(("case", "slug"), FAULTS)
def test_the_settings_that_help_are_there_to_be_set(case: Case, slug: str) -> None:
    (cause,) = causes_of(case)
    for name in re.findall(r"`([a-z_.]+)`", cause.why + cause.todo):
        path = name.removeprefix("services.a.test.").split(".")
        if path[0] in (*_TOP, "backend"):
            assert _is_setting(path, of_service=name.startswith("services.a.test.")), name


_TOP = set(SettingsFile.model_json_schema()["properties"])


def _is_setting(path: list[str], *, of_service: bool) -> bool:
    schema = SettingsFile.model_json_schema()
    place = schema["$defs"]["ServiceEntry"] if of_service else schema
    if path == ["services", "default"]:
        return True
    for name in path:
        place = place.get("properties", {}).get(name)
        if place is None:
            return False
        place = schema["$defs"][place["$ref"].rpartition("/")[2]] if "$ref" in place else place
    return True


def test_the_setting_and_the_origin_that_help_are_named() -> None:
    (cause,) = causes_of(
        Case(service="a.test", refusal_reason="origin-refused", status=403, origin=ORIGIN, upgrade=True)
    )
    assert cause.todo == f"Add `{ORIGIN}` to `services.a.test.websocket.allowed_origins`, or set it to `null`."
    (cause,) = causes_of(Case(service="a.test", status=403, origin=ORIGIN, upgrade=True))
    assert f"Add `{ORIGIN}` to `check_origin`" in cause.todo
    assert "set `services.a.test.origin` to `rewrite`" in cause.todo
    (cause,) = causes_of(Case(refusal_reason="rate-limit-ip"))
    assert "`rate_limit.ip`" in cause.todo


def test_an_origin_that_is_none_is_not_told() -> None:
    (cause,) = causes_of(Case(refusal_reason="origin-refused", origin="<b>`x`"))
    assert "<b>" not in cause.why + cause.todo


def test_the_events_that_a_lost_backend_left_unanswered_are_named() -> None:
    lost = (pushed("join", "CartLive"), pushed(name="save`"), pushed(name="save`"))
    for code in (1006, 1011):
        (cause,) = causes_of(Case(code=code, by="backend", unanswered=lost))
        assert """There was no reply to "save'" on CartLive, the join of CartLive.""" in cause.why


def test_not_more_than_a_few_events_are_named() -> None:
    (cause,) = causes_of(Case(code=1006, by="backend", unanswered=tuple(pushed(name=f"e{at}") for at in range(5))))
    assert 'to "e4" on CartLive, "e3" on CartLive, "e2" on CartLive and 2 more.' in cause.why


def test_every_reason_for_which_the_gateway_refuses_has_a_cause() -> None:
    """The slugs as they stand in its source, so that a new one is not forgotten."""
    packages = ("http1", "pipeline")
    text = "".join(file.read_text() for name in packages for file in (PACKAGE / name).rglob("*.py"))
    slugs = {
        slug
        for slug in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text)
        if re.search(rf'(?:Refusal\(|_closing\()[^()]*(?:\([^()]*\)[^()]*)*"{slug}"', text)
    }
    slugs |= {"host-missing", "host-repeated", "timeout-upgrade", "sockets-total", "rate-limit-ip"}
    assert len(slugs) > 25
    for slug in slugs - {"upgrade-malformed"}:
        assert causes_of(Case(refusal_reason=slug, upgrade=True, waited_s=9.0)), slug
    assert slugs >= refusals._MALFORMED


def test_every_reason_for_which_the_gateway_closes_has_a_cause() -> None:
    packages = ("pipeline", "websocket")
    text = "".join(file.read_text() for name in packages for file in (PACKAGE / name).rglob("*.py"))
    codes = {"PROTOCOL_ERROR": 1002, "INVALID_DATA": 1007, "TOO_BIG": 1009, "INTERNAL_ERROR": 1011}
    found = re.findall(r'ViolationError\((\w+), "([^"]+)"', text)
    assert len(found) > 12
    closes = [(codes[name], reason) for name, reason in found if name in codes]
    cuts = set(re.findall(r'self\.(?:abort|_time_out)\("([^"]+)"', text))
    assert {"killed", "idle", "no pong"} <= cuts
    closes += [(1006, reason) for reason in cuts]
    closes += [(1012, reason) for reason in re.findall(r'SERVICE_RESTART, "([^"]+)"', text)]
    closes += [(1008, "too many frames"), (1008, "too many bytes")]
    assert len(closes) > 20
    for code, reason in closes:
        (cause,) = causes_of(Case(code=code, by="gateway", reason=reason))
        assert cause.slug != "operator-closed", reason


def test_the_document_lists_each_cause_once() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (CHECKOUT / "docs" / "reference" / "causes.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted([*SLUGS, *catalog.SLUGS])

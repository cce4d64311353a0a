"""Session with a secret in each of its texts."""

import dataclasses
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import msgspec

from livegate.phoenix.model import HttpExchange, Incident, Push, Session, SocketInfo, Upload, View

CANARY = "CANARYcanary0123456789"
SECRET = f"SFMyNTY.{CANARY}.x"
MADE = {"state": "up", "kind": "event", "outcome": "ok", "transport": "websocket"}


def with_secrets(kind: type[Any], /, **given: Any) -> Any:
    """Make an object with the secret in each of its texts, also in fields that are added later."""
    values: dict[str, Any] = {}
    for name, type_, needed in fields_of(kind):
        text = type_ if isinstance(type_, str) else str(type_)
        if name in given:
            values[name] = given[name]
        elif name in MADE and kind is not HttpExchange:
            values[name] = MADE[name]
        elif text in ("str", "str | None", "<class 'str'>"):
            values[name] = f"lv:{SECRET}" if name == "topic" else f"/{SECRET}"
        elif needed:
            values[name] = 1
    return kind(**values)


def fields_of(kind: type[Any]) -> Iterator[tuple[str, Any, bool]]:
    """Name, type, and whether a value has to be given."""
    if not dataclasses.is_dataclass(kind):
        for each in msgspec.structs.fields(kind):
            yield each.name, each.type, each.required
        return
    for given in dataclasses.fields(kind):
        missing = given.default is dataclasses.MISSING and given.default_factory is dataclasses.MISSING
        yield given.name, given.type, missing


def session_with_secrets() -> Session:
    made: Session = with_secrets(Session, number=1)
    made.views = {"lv:a": with_secrets(View)}
    made.sockets = [with_secrets(SocketInfo, close_code=4000, closed_at=2.0)]
    made.pushes = deque([with_secrets(Push), with_secrets(Push, kind="patch")])
    made.uploads = {"u": with_secrets(Upload)}
    made.exchanges = deque([with_secrets(HttpExchange)])
    made.incidents = deque([with_secrets(Incident, events=(f"/{SECRET}",))])
    made.refusals = Counter({f"Bearer {CANARY}": 1})
    return made

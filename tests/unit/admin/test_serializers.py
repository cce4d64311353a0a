"""What is told of sessions is plain, bounded, and without a secret in any of its texts."""

import dataclasses
import json
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from livegate.admin import serializers
from livegate.phoenix.model import HttpExchange, Incident, Push, Session, SocketInfo, Upload, View
from livegate.redaction.redactor import MAX_TEXT_CHARACTERS, Redactor

CANARY = "CANARYcanary0123456789"
SECRET = f"SFMyNTY.{CANARY}.x"
MADE = {"state": "up", "kind": "event", "outcome": "ok", "transport": "websocket"}


def spoiled(kind: type[Any], /, **given: Any) -> Any:
    """One of these with the secret in every text that it has, also in those that are yet to be added."""
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


def spoiled_session() -> Session:
    made: Session = spoiled(Session, number=1)
    made.views = {"lv:a": spoiled(View)}
    made.sockets = [spoiled(SocketInfo, close_code=4000, closed_at=2.0)]
    made.pushes = deque([spoiled(Push), spoiled(Push, kind="patch")])
    made.uploads = {"u": spoiled(Upload)}
    made.exchanges = deque([spoiled(HttpExchange)])
    made.incidents = deque([spoiled(Incident, events=(f"/{SECRET}",))])
    made.refusals = Counter({f"Bearer {CANARY}": 1})
    return made


def test_no_text_of_a_session_brings_a_secret() -> None:
    raw = json.dumps([serializers.row(spoiled_session(), "a.test"), serializers.detail(spoiled_session(), "a.test")])
    assert raw.count(CANARY) > 20, "they are in what is gathered"
    redactor = Redactor()
    for value in (serializers.row(spoiled_session(), "a.test"), serializers.detail(spoiled_session(), "a.test")):
        assert CANARY not in json.dumps(redactor.redact(value))


@pytest.mark.parametrize(
    "text",
    [f"/reset/{CANARY}{CANARY}", f"to /reset/{CANARY}{CANARY} at once", f"join /x?code={CANARY}", f"password={CANARY}", f"Bearer {CANARY}"],
)  # fmt: skip
def test_a_text_is_cleaned_wherever_it_stands(text: str) -> None:
    for value in (text, [text], {"a": {"b": (text,)}}, {text: 1}):
        assert CANARY not in json.dumps(Redactor().redact(value))
    assert Redactor().redact({"n": 1, "f": 0.5, "none": None, "yes": True}) == {
        "n": 1,
        "f": 0.5,
        "none": None,
        "yes": True,
    }


def test_a_text_as_long_as_a_frame_is_cut() -> None:
    assert len(Redactor().redact("x" * 10_000_000)) == MAX_TEXT_CHARACTERS + 1


def test_a_session_with_nothing_in_it_is_told_too() -> None:
    empty = Session(1, "x", 0.0, 0.0)
    assert serializers.row(empty, "")["state"] == "closed"
    assert serializers.detail(empty, "")["causes"] == []
    assert serializers.ms(0.0012345) == 1.234 or serializers.ms(0.0012345) == 1.235
    assert serializers.ms(None) is None

"""Redaction of plain values and Structs, as `Redactor.redact` does it for the admin API."""

import pytest
from msgspec import Struct

from livegate.redaction.redactor import MAX_TEXT_CHARACTERS, Redactor

CANARY = "CANARYcanary0123456789"


class Named(Struct):
    name: str
    size: int = 1


@pytest.mark.parametrize(
    "text",
    [f"/reset/{CANARY}{CANARY}", f"to /reset/{CANARY}{CANARY} at once", f"join /x?code={CANARY}", f"password={CANARY}", f"Bearer {CANARY}"],
)  # fmt: skip
def test_a_text_is_redacted_wherever_it_stands(text: str) -> None:
    for value in (text, [text], Named(text), {"a": {"b": (text,)}}, {text: 1}):
        assert CANARY not in repr(Redactor().redact(value))
    assert Redactor().redact({"n": 1, "f": 0.5, "none": None, "yes": True}) == {
        "n": 1,
        "f": 0.5,
        "none": None,
        "yes": True,
    }


def test_a_text_as_long_as_a_frame_is_cut() -> None:
    assert len(Redactor().redact("x" * 10_000_000)) == MAX_TEXT_CHARACTERS + 1


def test_a_struct_keeps_its_type_and_its_other_fields() -> None:
    redacted = Redactor().redact(Named(f"Bearer {CANARY}", 7))
    assert type(redacted) is Named
    assert (redacted.size, CANARY in redacted.name) == (7, False)

"""Secrets in HTML, whole or as LiveView sends it: in constant pieces with values between them."""

import json
import time
from typing import Any

import pytest

from livegate.redaction.redactor import Redactor

CANARY = "CANARYcanary0123456789"
CSRF = ['<form><input name="_csrf_token" type="hidden" hidden value="', '"><input name="title" value="', '"></form>']


def hidden(value: Any) -> str:
    found = Redactor().frame(json.dumps(value).encode()).decode()
    assert CANARY not in found
    return found


@pytest.mark.parametrize(
    "rendered",
    [
        {"s": CSRF, "0": CANARY, "1": "shown"},
        {"0": {"s": 0, "0": CANARY, "1": "shown"}, "s": ["<div>", "</div>"], "p": {"0": CSRF}},
        {
            "s": ['<input name="_csrf_token" type="hidden"', '><p title="', '">'],
            "0": f' value="{CANARY}"',
            "1": "shown",
        },
        {
            "s": ["<input", ' type="password"', "><b>", "</b>"],
            "0": ' name="user[password]"',
            "1": f' value="{CANARY}"',
            "2": "shown",
        },
        {"s": CSRF, "k": {"0": {"0": CANARY, "1": "shown"}, "kc": 1}},
        {"s": CSRF, "d": [[CANARY, "shown"], ["", "shown"]]},
        {"s": ["", ""], "0": f'<meta name="csrf-token" content="{CANARY}"><p>shown</p>'},
        {"s": ["", ""], "0": f'<input type="password" name="user[password]" value="{CANARY}"> shown'},
        {"s": ["", ""], "0": f'<meta content="{CANARY}" name="csrf-token"> shown'},
    ],
)
def test_the_value_of_a_secret_field_is_hidden_wherever_the_tree_has_it(rendered: Any) -> None:
    frame = ["4", "4", "lv:phx-1", "phx_reply", {"status": "ok", "response": {"rendered": rendered}}]
    assert "shown" in hidden(frame)


def test_other_fields_of_a_tree_stay_as_they_are() -> None:
    frame = json.dumps(
        [
            "4",
            "4",
            "lv:phx-1",
            "diff",
            {"s": ['<input name="title" value="', '"><i data-token-count="', '">'], "0": "a", "1": "b"},
        ],
        separators=(",", ":"),
    ).encode()
    assert Redactor().frame(frame) == frame


@pytest.mark.parametrize(
    "text",
    [
        "<meta " + 'name="csrf-token" ' * 40_000,
        "<input " + 'name="password" value="' * 40_000,
        '<input name="password" ' * 40_000,
        "<meta " + 'content="" ' * 60_000 + 'name="csrf-token">',
    ],
)
def test_hostile_markup_takes_time_in_proportion_to_its_size(text: str) -> None:
    began = time.process_time()
    Redactor().text(text)
    Redactor().frame(json.dumps({"s": [text] * 3, "0": text, "1": text}).encode())
    assert time.process_time() - began < 60, "generous: a quadratic search would take minutes"

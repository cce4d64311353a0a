"""One escaped line of text that somebody else wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.redaction.printable import escaped, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain /path-ä-日本", "plain /path-ä-日本"),
        ("a\r\nb\x1b[31m\x00\x7f", r"a\r\nb\x1b[31m\x00\x7f"),
        ("\u2028\u2029\u202e\u200e\ufeff\x85\udcff", r"\u2028\u2029\u202e\u200e\ufeff\x85\udcff"),
        (r"\x1b", r"\\x1b"),
    ],
)
def test_control_and_format_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


@given(st.text())
def test_printable_text_is_one_line_and_bounded(text: str) -> None:
    shown = printable(text, 50)
    assert len(shown) <= 51 * 10
    assert len(shown.splitlines()) <= 1, shown
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0xA0 for character in shown)
    shown.encode("utf-8")


def test_an_escaped_text_keeps_its_backslashes_and_what_can_be_seen() -> None:
    assert escaped("a\\b é\x07") == r"a\b é\x07"

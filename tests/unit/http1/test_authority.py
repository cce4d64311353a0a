"""Host and port of an authority."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.http1.authority import split_authority


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("app.test", ("app.test", None)),
        ("APP.test.:8080", ("app.test", 8080)),
        ("[::1]:80", ("[::1]", 80)),
        ("[0:0::1]", ("[::1]", None)),
        ("[2001:DB8::A]", ("[2001:db8::a]", None)),
        ("127.0.0.1", ("127.0.0.1", None)),
        ("under_score.test", ("under_score.test", None)),
        ("", None),
        (".", None),
        ("a..b", None),
        ("a" * 64 + ".test", None),
        (".".join(["a" * 60] * 5), None),
        ("::1", None),
        ("[::1", None),
        ("[zz]", None),
        ("[::1]x", None),
        ("a:٣", None),
        ("a:", None),
        ("a b", None),
        ("a%41", None),
    ],
)
def test_an_authority_is_split_or_refused(text: str, expected: tuple[str, int | None] | None) -> None:
    assert split_authority(text) == expected


@given(st.text(max_size=40))
def test_no_text_makes_the_splitter_fail(text: str) -> None:
    split_authority(text)

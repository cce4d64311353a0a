"""X-Forwarded-* and Forwarded: lists that grow by one entry, quoted IPv6, valid values."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livegate.pipeline.fields import forwarded


def test_our_entry_is_the_last_of_all_lines() -> None:
    assert forwarded.appended([], "9.9.9.9") == "9.9.9.9"
    assert forwarded.appended(["1.1.1.1,,2.2.2.2 ", "3.3.3.3"], "9.9.9.9") == "1.1.1.1, 2.2.2.2, 3.3.3.3, 9.9.9.9"


@pytest.mark.parametrize("join", [forwarded.appended, forwarded.forwarded])
def test_of_a_thousand_hops_the_right_most_64_are_passed_on(join) -> None:
    hops = [f"hop{number}" for number in range(1000)]
    assert join([", ".join(hops)], "mine").split(", ") == [*hops[-64:], "mine"]


def test_commas_in_quoted_strings_do_not_part_elements() -> None:
    assert forwarded.forwarded([r'for="a,b\",c";by=x, for=2'], "for=9") == r'for="a,b\",c";by=x, for=2, for=9'


@pytest.mark.parametrize("bad", ['for="', 'for="a\\"', 'for=1, for="a, for=2', '"""'])
def test_a_quote_that_does_not_end_cannot_swallow_our_element(bad: str) -> None:
    assert forwarded.forwarded([bad], "for=9") == "for=9"


def test_a_quote_over_two_lines_is_one_element_as_for_every_reader() -> None:
    assert forwarded.forwarded(['for="a', 'b"'], "for=9") == 'for="a, b", for=9'


@given(st.lists(st.text(alphabet='a",\\ =;', max_size=60), max_size=4))
def test_our_element_always_stands_outside_of_quotes(lines: list[str]) -> None:
    result = forwarded.forwarded(lines, "for=9")
    before = result.removesuffix("for=9")
    assert before + "for=9" == result
    assert '"' not in re.sub(r'"(?:[^"\\]|\\.)*"', "", before)


@pytest.mark.parametrize("text", ['"' * 32_001, '"\\' * 16_000, ',"a' * 10_001])
def test_a_long_list_of_quotes_is_read_in_linear_time(text: str) -> None:
    assert forwarded.forwarded([text], "for=9").endswith("for=9")


@pytest.mark.parametrize(
    ("peer", "host", "expected"),
    [
        ("192.0.2.1", "app.test", "for=192.0.2.1;host=app.test;proto=https"),
        ("192.0.2.1", "app.test:81", 'for=192.0.2.1;host="app.test:81";proto=https'),
        ("2001:db8::1", "[::1]:80", 'for="[2001:db8::1]";host="[::1]:80";proto=https'),
    ],
)
def test_what_is_no_token_is_quoted(peer: str, host: str, expected: str) -> None:
    assert forwarded.forwarded_element(peer, host, "https") == expected


@pytest.mark.parametrize(
    ("authority", "scheme", "port"),
    [
        ("app.test", "http", "80"),
        ("app.test", "https", "443"),
        ("app.test:81", "https", "81"),
        ("[::1]:82", "http", "82"),
    ],
)
def test_the_port_is_the_one_that_the_client_used(authority: str, scheme: str, port: str) -> None:
    assert forwarded.port_of(authority, scheme) == port


@pytest.mark.parametrize("bad", ["", "a b", "a, b", "u@a", "a/x", "a\r\nX: y", "a:0", "é"])
def test_a_malformed_host_is_none(bad: str) -> None:
    assert forwarded.valid_host([bad]) is None
    assert forwarded.valid_host(["a.test", bad]) is None
    assert forwarded.valid_host(["a.test:81"]) == "a.test:81"


@pytest.mark.parametrize("bad", ["", "0", "65536", "8o", " 80", "80, 81", "-1", "80\r\nX: y", "²"])
def test_a_malformed_port_is_none(bad: str) -> None:
    assert forwarded.valid_port([bad]) is None
    assert forwarded.valid_port(["80", "80"]) is None
    assert forwarded.valid_port(["65535"]) == "65535"

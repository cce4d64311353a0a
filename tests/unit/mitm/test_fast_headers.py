"""Quick headers answer as mitmproxy's own do, whatever they are asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.test import tutils

from livegate.mitm.fast_headers import FastHeaders, make_fast_headers, use_fast_headers

NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"Set-Cookie", b"x-\xe4", b"x-\xc4", "x-ä".encode(), b""])
ASKED = st.one_of(NAMES, st.sampled_from(["host", "HoSt", "set-cookie", "x-ä", "X-Ä", "x-\udce4", "absent"]))
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=5)), max_size=6)


@given(FIELDS, ASKED)
def test_every_look_up_has_the_same_result(fields: list[tuple[bytes, bytes]], name: str | bytes) -> None:
    quick, stock = make_fast_headers(fields), http.Headers(fields)
    assert (name in quick) == (name in stock)
    assert quick.get(name) == stock.get(name)
    assert quick.get(name, "none") == stock.get(name, "none")
    assert quick.get_all(name) == stock.get_all(name)
    if name in stock:
        assert quick[name] == stock[name]
    else:
        with pytest.raises(KeyError):
            quick[name]
    assert quick == stock
    assert list(quick.items(multi=True)) == list(stock.items(multi=True))


@given(FIELDS, ASKED, st.binary(max_size=5))
def test_every_change_has_the_same_outcome(fields: list[tuple[bytes, bytes]], name: str | bytes, value: bytes) -> None:
    quick, stock = make_fast_headers(fields), http.Headers(fields)
    for headers in (quick, stock):
        headers[name] = value
        headers.add("more", "of it")
        headers.pop("Host", None)
    assert quick.fields == stock.fields
    copy = quick.copy()
    assert isinstance(copy, FastHeaders)
    assert copy == quick


def test_other_types_than_names_are_not_in_the_headers() -> None:
    with pytest.raises(TypeError):
        _ = 1 in http.Headers()
    with pytest.raises(TypeError):
        _ = 1 in make_fast_headers([])


def test_a_message_with_fast_headers_is_saved_and_loaded_as_any_other() -> None:
    request = tutils.treq()
    fields = request.headers.fields
    use_fast_headers(request)
    assert request.headers.fields == fields
    assert http.Request.from_state(request.get_state()).headers == request.headers

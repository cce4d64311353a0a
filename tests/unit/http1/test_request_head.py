"""The guard's rules as pure functions; the probes over a real socket are in the end-to-end tests."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mitmproxy.net.http import http1

from livegate.http1 import request_head as rules

LIMITS = {"max_bytes": 4096, "max_headers": 20}


def head(line: bytes = b"GET / HTTP/1.1", *fields: bytes) -> bytes:
    return b"".join(part + b"\r\n" for part in (line, *fields, b""))


# Raw heads

REFUSED_HEADS: dict[str, tuple[int, bytes]] = {
    "empty request line": (400, head(b"")),
    "method only": (400, head(b"GET")),
    "no version": (400, head(b"GET /")),
    "no target": (400, head(b"GET  HTTP/1.1")),
    "two spaces": (400, head(b"GET  / HTTP/1.1")),
    "two spaces before the version": (400, head(b"GET /  HTTP/1.1")),
    "space after the version": (400, head(b"GET / HTTP/1.1 ")),
    "space before the method": (400, head(b" GET / HTTP/1.1")),
    "space in the target": (400, head(b"GET /a b HTTP/1.1")),
    "tab instead of a space": (400, head(b"GET\t/ HTTP/1.1")),
    "vertical tab in the request line": (400, head(b"GET /\x0b HTTP/1.1")),
    "method with a slash": (400, head(b"GE/T / HTTP/1.1")),
    "method in brackets": (400, head(b"[GET] / HTTP/1.1")),
    "method with 8 bit": (400, head(b"G\xc9T / HTTP/1.1")),
    "method with nul": (400, head(b"G\x00T / HTTP/1.1")),
    "nul in the target": (400, head(b"GET /\x00 HTTP/1.1")),
    "control in the target": (400, head(b"GET /\x1f HTTP/1.1")),
    "del in the target": (400, head(b"GET /\x7f HTTP/1.1")),
    "8 bit in the target": (400, head(b"GET /\xe4 HTTP/1.1")),
    "fragment in the target": (400, head(b"GET /a#b HTTP/1.1")),
    "get star": (400, head(b"GET * HTTP/1.1")),
    "star with more": (400, head(b"OPTIONS *x HTTP/1.1")),
    "relative target": (400, head(b"GET index.html HTTP/1.1")),
    "authority as the target of get": (400, head(b"GET app.test:80 HTTP/1.1")),
    "query only": (400, head(b"GET ?a=b HTTP/1.1")),
    "absolute form of another scheme": (400, head(b"GET ftp://app.test/ HTTP/1.1")),
    "absolute form of a file": (400, head(b"GET file:///etc/passwd HTTP/1.1")),
    "absolute form without authority": (400, head(b"GET http:///x HTTP/1.1")),
    "absolute form with one slash": (400, head(b"GET http:/app.test/ HTTP/1.1")),
    "http 0.9": (400, head(b"GET / HTTP/0.9")),
    "http 1.2": (400, head(b"GET / HTTP/1.2")),
    "http 1.10": (400, head(b"GET / HTTP/1.10")),
    "http 2": (400, head(b"PRI * HTTP/2.0")),
    "http in lower case": (400, head(b"GET / http/1.1")),
    "rtsp": (400, head(b"GET / RTSP/1.0")),
    "trace": (405, head(b"TRACE / HTTP/1.1")),
    "trace in lower case": (405, head(b"trace / HTTP/1.1")),
    "connect": (405, head(b"CONNECT app.test:443 HTTP/1.1")),
    "connect to ipv6": (405, head(b"CONNECT [::1]:443 HTTP/1.1")),
    "connect with a path": (405, head(b"CONNECT / HTTP/1.1")),
    "folded by a space": (400, head(b"GET / HTTP/1.1", b"X: a", b" b")),
    "folded by a tab": (400, head(b"GET / HTTP/1.1", b"X: a", b"\tb")),
    "folded before the first field": (400, head(b"GET / HTTP/1.1", b" Host: a")),
    "bare cr in a value": (400, head(b"GET / HTTP/1.1", b"X: a\rY: b")),
    "bare cr in a name": (400, head(b"GET / HTTP/1.1", b"X\r: a")),
    "bare cr in the request line": (400, head(b"GET /\r HTTP/1.1")),
    "bare cr instead of a line end": (400, head(b"GET / HTTP/1.1\rHost: a")),
    "two crs at a line end": (400, head(b"GET / HTTP/1.1\r", b"Host: a\r")),
    "nul in a value": (400, head(b"GET / HTTP/1.1", b"X: a\x00b")),
    "control in a value": (400, head(b"GET / HTTP/1.1", b"X: a\x01b")),
    "vertical tab in a value": (400, head(b"GET / HTTP/1.1", b"Transfer-Encoding: \x0bchunked")),
    "escape in a value": (400, head(b"GET / HTTP/1.1", b"X: \x1b[2J")),
    "del in a value": (400, head(b"GET / HTTP/1.1", b"X: \x7f")),
    "space before the colon": (400, head(b"GET / HTTP/1.1", b"Host : a")),
    "tab before the colon": (400, head(b"GET / HTTP/1.1", b"Host\t: a")),
    "name with 8 bit": (400, head(b"GET / HTTP/1.1", b"H\xf6st: a")),
    "name with nul": (400, head(b"GET / HTTP/1.1", b"Host\x00: a")),
    "name with a slash": (400, head(b"GET / HTTP/1.1", b"X/Y: a")),
    "empty name": (400, head(b"GET / HTTP/1.1", b": a")),
    "line without a colon": (400, head(b"GET / HTTP/1.1", b"nonsense")),
    "empty line with a cr too many": (400, head(b"GET / HTTP/1.1", b"\r")),
    "no blank line at the end": (400, b"GET / HTTP/1.1\r\nX\x00: a\r\n"),
    "no line end at all": (400, b"GET / HTTP/1.1"),
    "bytes behind the blank line": (400, head() + b"GET"),
    "too many fields": (431, head(b"GET / HTTP/1.1", *[b"X: 1"] * 21)),
    "fields too large": (431, head(b"GET / HTTP/1.1", b"X: " + b"a" * 4096)),
    "request line too long": (414, head(b"GET /" + b"a" * 4096 + b" HTTP/1.1")),
    "request line too long in bytes that are no request": (414, head(b"\xff" * 4097)),
}


@pytest.mark.parametrize("name", REFUSED_HEADS)
def test_a_malformed_head_is_refused_and_the_connection_ends(name: str) -> None:
    status, raw = REFUSED_HEADS[name]
    refusal = rules.head_refusal(raw, **LIMITS)
    assert refusal is not None
    assert (refusal.status, refusal.close) == (status, True)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head(), id="no fields"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare lf"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\n", id="mixed line ends"),
        pytest.param(head(b"GET / HTTP/1.0", b"Host: a"), id="http 1.0"),
        pytest.param(head(b"OPTIONS * HTTP/1.1", b"Host: a"), id="options star"),
        pytest.param(head(b"GET //a//b?c=%00'\"<>{}|\\^` HTTP/1.1", b"Host: a"), id="every visible character"),
        pytest.param(head(b"GET HTTP://a/b HTTP/1.1", b"Host: a"), id="absolute form"),
        pytest.param(head(b"GET https://a HTTP/1.1", b"Host: a"), id="absolute form without a path"),
        pytest.param(head(b"M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1", b"Host: a"), id="any token as a method"),
        pytest.param(head(b"GET / HTTP/1.1", b"X:", b"Y: ", b"Z:\t\t", b"1: a\tb"), id="empty values and tabs"),
        pytest.param(head(b"GET / HTTP/1.1", b"X: \xe4\xff"), id="8 bit in a value"),
        pytest.param(head(b"GET / HTTP/1.1", *[b"X: 1"] * 20), id="as many fields as allowed"),
        pytest.param(head(b"GET / HTTP/1.1", b"X: " + b"a" * (4096 - 23)), id="as large as allowed"),
    ],
)
def test_a_well_formed_head_passes(raw: bytes) -> None:
    assert len(raw) <= LIMITS["max_bytes"]
    assert rules.head_refusal(raw, **LIMITS) is None


def test_a_folded_field_is_called_one() -> None:
    refusal = rules.head_refusal(head(b"GET / HTTP/1.1", b"X: a", b"\tb"), **LIMITS)
    assert refusal is not None
    assert refusal.reason == "field-folded"


def test_a_405_names_what_is_allowed() -> None:
    refusal = rules.head_refusal(head(b"TRACE / HTTP/1.1"), **LIMITS)
    assert refusal is not None
    assert dict(refusal.headers)["Allow"].split(", ") == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"", None, id="nothing yet"),
        pytest.param(b"G" * 4096, None, id="a request line up to the bound"),
        pytest.param(b"G" * 4097, 414, id="a request line that never ends"),
        pytest.param(b"G" * 4097 + b"\r\nHost: a", 414, id="a request line that ended too late"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 20 + b"X", None, id="as many fields as allowed"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 21, 431, id="a field too many"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"a" * 4096, 431, id="a field that never ends"),
    ],
)
def test_an_unfinished_head_is_refused_as_soon_as_a_bound_is_passed(raw: bytes, status: int | None) -> None:
    refusal = rules.unfinished_head_refusal(raw, **LIMITS)
    assert (refusal.status if refusal else None) == status


@given(st.binary(max_size=400), st.integers(0, 8), st.integers(0, 400))
def test_a_head_refused_unfinished_would_be_refused_whole(text: bytes, max_headers: int, max_bytes: int) -> None:
    early = rules.unfinished_head_refusal(text, max_bytes=max_bytes, max_headers=max_headers)
    if early is not None:
        late = rules.head_refusal(text + b"\r\n\r\n", max_bytes=max_bytes, max_headers=max_headers)
        assert late is not None
        assert late.status == early.status


@given(st.binary(max_size=300))
def test_no_bytes_make_the_rules_of_a_head_fail(raw: bytes) -> None:
    rules.head_refusal(raw, **LIMITS)
    rules.head_refusal(raw + b"\r\n\r\n", **LIMITS)
    rules.unfinished_head_refusal(raw, **LIMITS)


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=6), st.binary(max_size=20))
def test_no_fields_make_the_rules_of_a_message_fail(fields: list[tuple[bytes, bytes]], authority: bytes) -> None:
    named = [(name or b"host", value) for name, value in fields]
    rules.message_refusal(authority=authority, scheme=b"http", fields=named)
    rules.parsed_head_refusal(method=b"GET", target=authority, version=b"HTTP/1.1", fields=named, max_headers=3)


FRAMING_NAMES = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"TE",
        b"Expect",
    ]
)


@given(st.lists(st.tuples(FRAMING_NAMES, st.binary(max_size=30)), max_size=6), st.binary(max_size=20))
def test_no_value_of_a_field_that_matters_makes_the_rules_fail(
    fields: list[tuple[bytes, bytes]], authority: bytes
) -> None:
    rules.message_refusal(authority=authority, scheme=authority, fields=fields)


TOKEN_TEXT = st.text(st.sampled_from("abcXYZ019-_."), min_size=1, max_size=12)
VALUE_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(TOKEN_TEXT, VALUE_TEXT, st.lists(st.tuples(TOKEN_TEXT, VALUE_TEXT), max_size=8))
def test_a_head_that_passes_is_read_alike_by_an_independent_parser(
    method: str, path: str, fields: list[tuple[str, str]]
) -> None:
    lines = [f"{method} /{path} HTTP/1.1", "host: a", *(f"x-{name}: {value}" for name, value in fields)]
    raw = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if rules.head_refusal(raw, **LIMITS) is not None:
        assert "#" in path or method.upper() in ("TRACE", "CONNECT")
        return
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(raw)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (method.encode(), f"/{path}".encode())
    expected = [(f"x-{name}".lower().encode(), value.encode()) for name, value in fields]
    assert list(event.headers)[1:] == expected


NASTY = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\n\n", b" ", b"\t", b":", b"\x00", b"\x0b", b"\x85", b"\xff", b"#", b"*", b"//"]
)


@given(st.integers(0, 60), st.integers(0, 3), NASTY | st.binary(max_size=3))
@example(45, 0, b"\r\n\r\nX")
def test_a_damaged_head_that_passes_is_read_alike_by_both_parsers(place: int, dropped: int, inserted: bytes) -> None:
    raw = head(b"GET /a?b=c HTTP/1.1", b"Host: app.test", b"X-One: 1 2", b"Y:  z ")
    spoilt = raw[:place] + inserted + raw[place + dropped :]
    if rules.head_refusal(spoilt, **LIMITS) is not None:
        return
    lines = [line.removesuffix(b"\r") for line in spoilt.split(b"\n")[:-2]]
    ours = http1.read_request_head(lines)
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(spoilt)
    try:
        theirs = parser.next_event()
    except h11.RemoteProtocolError:
        # What h11 judges besides syntax is left to message_refusal: Host and framing.
        hosts = [value for name, value in ours.headers.fields if name.lower() == b"host"]
        assert len(hosts) != 1
        return
    assert isinstance(theirs, h11.Request)
    assert (theirs.method, theirs.http_version) == (ours.data.method, ours.data.http_version.removeprefix(b"HTTP/"))
    assert theirs.target == ours.data.path
    assert list(theirs.headers) == [(name.lower(), value) for name, value in ours.headers.fields]


# What a head says

HOST = (b"Host", b"app.test")
REFUSED_MESSAGES: dict[str, tuple[int, list[tuple[bytes, bytes]]]] = {
    "no host": (400, []),
    "two equal hosts": (400, [HOST, (b"hOST", b"app.test")]),
    "empty host": (400, [(b"Host", b"")]),
    "blank host": (400, [(b"Host", b" \t ")]),
    "host with userinfo": (400, [(b"Host", b"me@app.test")]),
    "host with a password": (400, [(b"Host", b"me:secret@app.test")]),
    "host with a comma": (400, [(b"Host", b"app.test,evil.test")]),
    "host with a slash": (400, [(b"Host", b"app.test/x")]),
    "host with a backslash": (400, [(b"Host", b"app.test\\x")]),
    "host with a query": (400, [(b"Host", b"app.test?x")]),
    "host with a space": (400, [(b"Host", b"app.test x")]),
    "host with a tab": (400, [(b"Host", b"app.test\tx")]),
    "host with a scheme": (400, [(b"Host", b"http://app.test")]),
    "host with a quote": (400, [(b"Host", b'"app.test"')]),
    "host with percent": (400, [(b"Host", b"app%2etest")]),
    "host that is a wildcard": (400, [(b"Host", b"*.test")]),
    "host with 8 bit": (400, [(b"Host", b"\xe4.test")]),
    "host with nul": (400, [(b"Host", b"app.test\x00")]),
    "host with a line end": (400, [(b"Host", b"app.test\n")]),
    "host with two dots": (400, [(b"Host", b"app..test")]),
    "host with two dots at the end": (400, [(b"Host", b"app.test..")]),
    "host with a dot at the start": (400, [(b"Host", b".app.test")]),
    "host with a label of 64": (400, [(b"Host", b"a" * 64 + b".test")]),
    "host of 254": (400, [(b"Host", b"a." * 126 + b"bc")]),
    "port 0": (400, [(b"Host", b"app.test:0")]),
    "port 65536": (400, [(b"Host", b"app.test:65536")]),
    "port of six digits": (400, [(b"Host", b"app.test:000080")]),
    "port with a sign": (400, [(b"Host", b"app.test:+80")]),
    "port with an underscore": (400, [(b"Host", b"app.test:8_0")]),
    "port in words": (400, [(b"Host", b"app.test:http")]),
    "two ports": (400, [(b"Host", b"app.test:80:80")]),
    "empty port": (400, [(b"Host", b"app.test:")]),
    "port only": (400, [(b"Host", b":80")]),
    "ipv6 without brackets": (400, [(b"Host", b"::1")]),
    "ipv6 without an end": (400, [(b"Host", b"[::1")]),
    "ipv6 with more": (400, [(b"Host", b"[::1]x")]),
    "ipv6 in two brackets": (400, [(b"Host", b"[[::1]]")]),
    "ipv6 with a zone": (400, [(b"Host", b"[fe80::1%eth0]")]),
    "ipv6 with a zone in percent": (400, [(b"Host", b"[fe80::1%25eth0]:80")]),
    "ipv6 whose zone forges a Forwarded field": (400, [(b"Host", b'[::1%", for="6.6.6.6]')]),
    "ipv6 whose zone has userinfo": (400, [(b"Host", b"[::1%me@evil test]")]),
    "ipv4 in brackets": (400, [(b"Host", b"[127.0.0.1]")]),
    "ip of the future": (400, [(b"Host", b"[v1.x]")]),
    "gzip, chunked": (400, [HOST, (b"Transfer-Encoding", b"gzip, chunked")]),
    "chunked twice in a field": (400, [HOST, (b"Transfer-Encoding", b"chunked, chunked")]),
    "chunked twice": (400, [HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
    "xchunked": (400, [HOST, (b"Transfer-Encoding", b"xchunked")]),
    "chunked with a parameter": (400, [HOST, (b"Transfer-Encoding", b"chunked;q=1")]),
    "identity": (400, [HOST, (b"Transfer-Encoding", b"identity")]),
    "empty transfer coding": (400, [HOST, (b"Transfer-Encoding", b"")]),
    "coding and length": (400, [HOST, (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"0")]),
    "two equal lengths": (400, [HOST, (b"Content-Length", b"1"), (b"Content-Length", b"1")]),
    "list of lengths": (400, [HOST, (b"Content-Length", b"1, 1")]),
    "empty length": (400, [HOST, (b"Content-Length", b"")]),
    "length with a sign": (400, [HOST, (b"Content-Length", b"+1")]),
    "negative length": (400, [HOST, (b"Content-Length", b"-1")]),
    "length in hexadecimal": (400, [HOST, (b"Content-Length", b"0x1")]),
    "length with an underscore": (400, [HOST, (b"Content-Length", b"1_0")]),
    "length with a point": (400, [HOST, (b"Content-Length", b"1.0")]),
    "length of 19 digits": (400, [HOST, (b"Content-Length", b"9" * 19)]),
    "length in superscript": (400, [HOST, (b"Content-Length", b"\xb2")]),
    "te chunked": (400, [HOST, (b"TE", b"gzip, chunked")]),
    "te chunked with a weight": (400, [HOST, (b"te", b"Chunked;q=0.5")]),
    "another expectation": (417, [HOST, (b"Expect", b"tea")]),
    "an expectation more": (417, [HOST, (b"Expect", b"100-continue, tea")]),
    "two expectations": (417, [HOST, (b"Expect", b"100-continue"), (b"Expect", b"100-continue")]),
    "empty expectation": (417, [HOST, (b"Expect", b"")]),
}


@pytest.mark.parametrize("name", REFUSED_MESSAGES)
def test_an_ambiguous_message_is_refused_and_the_connection_ends(name: str) -> None:
    status, fields = REFUSED_MESSAGES[name]
    refusal = rules.message_refusal(authority=b"", scheme=b"", fields=fields)
    assert refusal is not None
    assert (refusal.status, refusal.close) == (status, True)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([HOST], id="host"),
        pytest.param([(b"host", b" app.test:8080 ")], id="host with port and blanks"),
        pytest.param([(b"Host", b"a." * 126 + b"b.")], id="a name of 253 and a dot"),
        pytest.param([HOST, (b"Transfer-Encoding", b"Chunked")], id="chunked"),
        pytest.param([HOST, (b"Content-Length", b"0")], id="length"),
        pytest.param([HOST, (b"TE", b"trailers, gzip;q=0.5")], id="te"),
        pytest.param([HOST, (b"Expect", b"100-Continue")], id="expectation"),
    ],
)
def test_a_clear_message_passes(fields: list[tuple[bytes, bytes]]) -> None:
    assert rules.message_refusal(authority=b"", scheme=b"", fields=fields) is None


@pytest.mark.parametrize(
    ("target", "host", "agrees"),
    [
        (b"http://app.test", b"app.test", True),
        (b"http://APP.test", b"app.TEST", True),
        (b"http://app.test:80", b"app.test", True),
        (b"https://app.test", b"app.test:443", True),
        (b"HTTPS://app.test:443", b"app.test", True),
        (b"http://app.test.", b"app.test", True),
        (b"http://[::1]:80", b"[0::1]", True),
        (b"http://app.test:81", b"app.test", False),
        (b"https://app.test", b"app.test:80", False),
        (b"http://evil.test", b"app.test", False),
        (b"http://app.test.evil.test", b"app.test", False),
        (b"http://me@app.test", b"app.test", False),
        (b"http://app.test:", b"app.test", False),
        (b"http://[", b"app.test", False),
    ],
)
def test_an_absolute_form_has_to_agree_with_host(target: bytes, host: bytes, agrees: bool) -> None:
    scheme, _, authority = target.partition(b"://")
    refusal = rules.message_refusal(authority=authority, scheme=scheme, fields=[(b"Host", host)])
    assert (refusal is None) is agrees


def test_an_agreeing_absolute_form_may_leave_out_the_default_port() -> None:
    assert rules.message_refusal(authority=b"App.test", scheme=b"http", fields=[(b"Host", b"app.test:80")]) is None
    assert rules.message_refusal(authority=b"[", scheme=b"http", fields=[(b"Host", b"app.test")]) is not None


def test_a_parsed_head_is_checked_without_its_raw_bytes() -> None:
    def judge(**changed: object) -> int:
        values: dict[str, object] = {
            "method": b"GET", "target": b"/", "version": b"HTTP/1.1", "fields": [(b"a", b"b")], "max_headers": 2
        }  # fmt: skip
        refusal = rules.parsed_head_refusal(**{**values, **changed})  # type: ignore[arg-type]
        return refusal.status if refusal else 200

    assert judge() == 200
    assert judge(version=b"HTTP/1.2") == 400
    assert judge(method=b"TRACE") == 405
    assert judge(method=b"G T") == 400
    assert judge(target=b"*") == 400
    assert judge(method=b"OPTIONS", target=b"*") == 200
    assert judge(fields=[(b"a", b"folded\r\n line")]) == 400
    assert judge(fields=[(b"a", b"1")] * 3) == 431


@pytest.mark.parametrize(
    ("head", "target"),
    [
        (b"GET /live/longpoll?vsn=2.0.0 HTTP/1.1\r\nHost: a", "/live/longpoll?vsn=2.0.0"),
        (b"GET /live/longpoll?v", "/live/longpoll?v"),
        (b"GET  /live/longpoll  nonsense\n", "/live/longpoll"),
        (b"GET /\xff HTTP/1.1", "/\xff"),
        (b"GET\r\n/live/longpoll x", ""),
        (b"", ""),
    ],
)
def test_the_target_is_read_of_any_head(head: bytes, target: str) -> None:
    assert rules.request_target(head) == target

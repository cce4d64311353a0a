"""Backend URLs, listen addresses and collectors: read into one form, or refused with what is allowed."""

from pathlib import Path

import pytest
import yaml
from settings_files import SERVICE, load, problems

from livegate.settings.addresses import backend, listeners_clash, may_collide, origin, service_pattern


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "http://", "http:///x", "ftp://x", "http://x/y", "http://x?y", "http://x#y", "http://x?", "http://u@x",
        "http://x:0", "http://x:", "http://x:99999", "http://x:abc", "http://x y", "http://x\\y", "http://[::1", "http://-x",
        "http://a..b", "http://1.2.3", "http://[fe80::1]", "http://ä\u200d.test\n", "//x", "http://[::ffff:169.254.169.254]", "http://[::1%x]:80", "http://xn--\u2603",
    ],
)  # fmt: skip
def test_a_backend_url_is_a_scheme_a_host_and_a_port(tmp_path: Path, url: str) -> None:
    found = problems(tmp_path, yaml.safe_dump({"services": {"a.test": url}}))
    assert any("services.a.test" in problem for problem in found)


@pytest.mark.parametrize("listen", ["8080", ":0", "x:99999", "[::1:80", "::1:80", "a b:80", ":-1", "127.0.0.1:٣"])
def test_a_listen_address_is_a_host_and_a_port(tmp_path: Path, listen: str) -> None:
    assert any("listen" in problem for problem in problems(tmp_path, f"listen: '{listen}'\n{SERVICE}"))


@pytest.mark.parametrize(
    ("listen", "expected"), [(":80", ":80"), ("[::1]:80", "[::1]:80"), ("localhost:80", "localhost:80")]
)
def test_listen_addresses_are_read(tmp_path: Path, listen: str, expected: str) -> None:
    assert str(load(tmp_path, f"listen: '{listen}'\n{SERVICE}").listen) == expected


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("http://c.test:4318/v1/traces", "http://c.test:4318/v1/traces"),
        ("HTTP://c.test", None),
        ("https://C.Test:443/", "https://c.test/v1/traces"),
        ("c.test:4318", None),
        ("grpc://c.test:4317", None),
        ("http://c.test/?key=x", None),
        ("http://c.test/#x", None),
        ("http://c.test:0", None),
        ("http://", None),
        ("http://c test", None),
    ],
)
def test_a_collector_url_gets_the_path_of_traces(tmp_path: Path, endpoint: str, expected: str | None) -> None:
    text = SERVICE + yaml.safe_dump({"tracing": {"endpoint": endpoint}})
    if expected is None:
        assert "tracing.endpoint" in problems(tmp_path, text)[0]
    else:
        assert load(tmp_path, text).tracing.endpoint == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://App.Example.com:443", "https://app.example.com"),
        ("http://app.test:4000", "http://app.test:4000"),
        ("https://*.Bücher.example", "https://*.xn--bcher-kva.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("null", "null"),
        (None, "null"),
    ],
)
def test_origins_have_one_form(text: object, expected: str) -> None:
    assert origin(text) == expected
    assert origin(expected) == expected


@pytest.mark.parametrize(
    "text", ["", "app.test", "https://app.test/", "https://app.test/path", "ftp://app.test", "https://*", 5]
)
def test_other_texts_are_no_origins(text: object) -> None:
    with pytest.raises(ValueError, match="an origin such as"):
        origin(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("App.Example.com.", "app.example.com"),
        ("*.Bücher.example", "*.xn--bcher-kva.example"),
        ("default_any", "default"),
        ("::1", "[::1]"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_hosts_of_services_have_one_form(text: str, expected: str) -> None:
    assert service_pattern(text) == expected


@pytest.mark.parametrize("text", ["", "*", "*.", "a b", "a..b", "-a", "1.2.3", "a." * 127 + "a", "a/b", 5])
def test_other_texts_are_no_hosts(text: object) -> None:
    with pytest.raises(ValueError, match="a host name such as"):
        service_pattern(text)


def test_a_backend_has_an_authority_and_an_origin() -> None:
    plain, tls = backend("http://[::1]:80"), backend("https://a.test:8443/")
    assert (plain.authority, plain.url, plain.tls) == ("[::1]", "http://[::1]", False)
    assert (tls.authority, tls.url, tls.tls) == ("a.test:8443", "https://a.test:8443", True)


@pytest.mark.parametrize(
    ("host", "other", "collide", "clash"),
    [
        ("a.test", "a.test", True, True),
        ("a.test", "b.test", False, False),
        ("localhost", "::1", True, True),
        ("x.localhost", "::ffff:127.0.0.1", True, True),
        ("", "127.0.0.1", True, True),
        ("192.0.2.1", "127.0.0.1", False, False),
        ("192.0.2.1", "0.0.0.0", False, True),
    ],
)
def test_hosts_that_may_be_one_listener(host: str, other: str, collide: bool, clash: bool) -> None:
    assert (may_collide(host, other), may_collide(other, host)) == (collide, collide)
    assert (listeners_clash(host, other), listeners_clash(other, host)) == (clash, clash)

"""Settings files, good and bad: every problem at once, each with its place, and never a crash."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from settings_files import SERVICE, load, problems

from livegate.settings import SettingsError, find_settings_file, load_settings, route_table

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def test_the_example_of_the_documentation_is_read_as_it_says(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
listen: 0.0.0.0:80
services:
  App.Example.com.: http://192.168.1.10:4000
  api.example.com:
    backend: https://192.168.1.11:8443
    host: keep
    origin: drop
    tls: {verify: false, server_name: API.internal}
    timeouts: {response: 1m30s}
    rate_limit: {user: 300/minute, ip: null}
  "*.Bücher.example": http://[::1]:4100
  default_any: http://192.0.2.1
trusted_proxies: [10.0.0.0/8, "2001:db8::1"]
rate_limit: {user: null, ip: 5 per second, dry_run: yes}
timeouts: {connect: 250ms}
limits: {head: 16KiB, headers: 50, body: 1.5MB, stream_above: 512B}
log: {format: json, level: debug}
""",
    )
    assert str(settings.listen) == "0.0.0.0:80"
    names = [service.name for service in settings.services]
    assert names == ["app.example.com", "api.example.com", "*.xn--bcher-kva.example", "default"]
    api = settings.routes.match("API.example.com.")
    assert api
    assert (api.host, api.origin, api.tls.verify, api.tls.server_name) == ("keep", "drop", False, "api.internal")
    assert (api.timeouts.response, api.timeouts.connect) == (90.0, 0.25)
    assert (str(api.rate_limit.user), api.rate_limit.ip, api.own_user_rate, api.own_ip_rate) == (
        "300/minute",
        None,
        True,
        True,
    )
    assert settings.rate_limit.user is None
    assert str(settings.rate_limit.ip) == "5/second"
    assert settings.rate_limit.dry_run is True
    assert settings.limits.body == 1_500_000
    deep = settings.routes.match("x.y.xn--bcher-kva.example")
    assert deep
    assert (deep.backend.authority, deep.backend.url) == ("[::1]:4100", "http://[::1]:4100")
    anybody = settings.routes.match("who.knows")
    assert anybody
    assert anybody.backend.authority == "192.0.2.1"
    assert len(settings.trusted_proxies) == 2
    remarks = {row[0]: row[2] for row in route_table(settings)}
    assert remarks["api.example.com"] == (
        "host keep, origin drop, TLS not verified, TLS name api.internal, response 90s, user 300/minute, ip unlimited"
    )


def test_every_problem_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """listen: 8080
servces: {}
services:
  App.test: ftp://x
  app.test.: http://127.0.0.1:8080
  app.test: http://u:p@h/path
  8080: http://127.0.0.1:70000
  b.test: {bakend: x, host: foo, timeouts: {response: 10}, tls: {ca_file: nope.pem}}
  b.test: http://x
  me.test: http://localhost:8081
  x.test: ${NOPE}
  "*foo": http://y
  meta.test: http://169.254.169.254
  tls.test: {backend: "https://x", tls: {ca_file: nope.pem, server_name: "a b"}}
limits: {body: 1KiB, headers: many, head: 512B}
trusted_proxies: [10.0.0.0/33, 1]
log: {format: xml}
rate_limit: {user: lots, dry_run: maybe}
tls: {certificates: {a.test: /nope.pem}}
""",
        {"RATE_LIMIT_IP": "x"},
    )
    for fragment in (
        ":1: listen: found 8080",
        ":2: servces: found an unknown key, allowed: listen, services,",
        "did you mean services?",
        ":4: services.App.test.backend: found 'ftp://x'",
        ":5: services.app.test.: found 'app.test.', allowed: each host once; it is the same host as 'App.test'",
        ":5: services.app.test..backend: found 'http://127.0.0.1:8080', allowed: a backend other than the gateway's own listeners",
        ":6: services.app.test.backend: found an invalid value (secrets are not shown)",
        ":7: services.8080.backend: found 'http://127.0.0.1:70000'",
        ":8: services.b.test.backend: found nothing",
        ":8: services.b.test.bakend: found an unknown key, allowed: backend, host,",
        ":8: services.b.test.host: found 'foo', allowed: rewrite or keep",
        ":8: services.b.test.timeouts.response: found 10, allowed: a duration with its unit",
        ":9: services.b.test: found a duplicate key, allowed: each key once (first on line 8)",
        ":10: services.me.test.backend: found 'http://localhost:8081'",
        ":11: services.x.test: found '${NOPE}', allowed: an environment variable that is set; NOPE is not set",
        ":12: services.*foo: found '*foo'",
        ":13: services.meta.test.backend: found 'http://169.254.169.254'",
        ":14: services.tls.test.tls.ca_file: found 'nope.pem'",
        ":14: services.tls.test.tls.server_name: found 'a b'",
        ":15: limits.headers: found 'many', allowed: a whole number",
        ":15: limits.head: found 512 bytes, allowed: at least 1KiB",
        ":15: limits.stream_above: found 1048576 bytes, allowed: at most limits.body (1024 bytes)",
        ":16: trusted_proxies.0: found '10.0.0.0/33'",
        ":16: trusted_proxies.1: found 1",
        ":17: log.format: found 'xml', allowed: text or json",
        ":18: rate_limit.user: found 'lots'",
        ":18: rate_limit.dry_run: found 'maybe', allowed: true or false",
        ":19: tls.certificates.a.test: found '/nope.pem'",
        "RATE_LIMIT_IP: found 'x'",
    ):
        assert any(fragment in problem for problem in found), (fragment, found)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "no services"),
        ("services:\n", "no services"),
        ("services: {}\n", "no services"),
        ("[1, 2]\n", "found a list, allowed: a mapping"),
        ("just text\n", "found 'just text'"),
        ("services: [\n", "allowed: valid YAML"),
        ("services: {a.test: [1]}\n", "services.a.test.backend: found a list"),
        ("services: {a.test: }\n", "services.a.test.backend: found nothing"),
        ("services: {? [a] : b}\n", "a key that is a list"),
        ("limits: {headers: 0}\n" + SERVICE, "limits.headers: found 0, allowed: a whole number of at least 1"),
        ("services: " + "[" * 40 + "]" * 40, "at most 32 levels"),
        ("services: " + "[" * 5000 + "]" * 5000, "levels"),
        ("&a [*a]\n", "levels"),
        ("limits: 3\n" + SERVICE, "limits: found 3, allowed: a mapping"),
        ("tls: {certificates: [1]}\n" + SERVICE, "tls.certificates: found a list, allowed: a mapping"),
        ("log: {level: 1}\n" + SERVICE, "log.level: found 1, allowed: debug, info, warning or error"),
        (
            "services: {a.test: {backend: http://x, tls: {server_name: 3}}}\n",
            "server_name: found 3, allowed: a host name or an IP address",
        ),
    ],
)
def test_a_file_of_the_wrong_shape_is_an_error_and_no_crash(tmp_path: Path, text: str, fragment: str) -> None:
    assert any(fragment in problem for problem in problems(tmp_path, text)), problems(tmp_path, text)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "GATEWAY_SERVICES": " b.test => http://127.0.0.1:5000 ; default=>http://127.0.0.1:5001;; ",
        "RATE_LIMIT_USER": "7",
        "RATE_LIMIT_IP": "9/second",
    }
    for settings in (load(tmp_path, SERVICE, environ), load_settings(None, environ)):
        assert [service.name for service in settings.services] == ["b.test", "default"]
        assert (str(settings.rate_limit.user), str(settings.rate_limit.ip)) == ("7/minute", "9/second")


@pytest.mark.parametrize(
    "value", ["nonsense", "a.test=>", "=>http://x", "a.test=>http://x;a.test=>http://y", "a.test=>ftp://x"]
)
def test_a_bad_variable_is_named(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(None, {"GATEWAY_SERVICES": value})
    assert all(problem.file == "GATEWAY_SERVICES" and problem.line is None for problem in raised.value.problems)


def test_a_rate_of_the_environment_does_not_hide_a_broken_section(tmp_path: Path) -> None:
    assert any(
        "rate_limit: found 3" in one
        for one in problems(tmp_path, f"rate_limit: 3\n{SERVICE}", {"RATE_LIMIT_USER": "7"})
    )


def test_the_file_is_found_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = tmp_path / "named.yaml"
    assert find_settings_file(str(named), {"GATEWAY_CONFIG_FILE": "other"}) == named
    assert find_settings_file(None, {"GATEWAY_CONFIG_FILE": str(named)}) == named
    assert find_settings_file(None, {}) == CONFIGS / "gateway.yaml"
    with pytest.raises(SettingsError, match="no such file"):
        load_settings(named, {})
    with pytest.raises(SettingsError, match="no settings file"):
        load_settings(None, {})
    monkeypatch.chdir(tmp_path)
    named.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SettingsError, match=r"^named.yaml: found text that is not UTF-8"):
        load_settings(named, {})


KEYS = st.sampled_from(
    [
        "listen",
        "services",
        "tls",
        "limits",
        "log",
        "rate_limit",
        "timeouts",
        "trusted_proxies",
        "a.test",
        "backend",
        "x",
    ]
)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("http://127.0.0.1:1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@hypothesis_settings(max_examples=200, deadline=None)
@given(VALUES)
def test_no_values_make_it_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    try:
        load(tmp_path_factory.mktemp("s"), text)
    except SettingsError as error:
        assert error.problems


@hypothesis_settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_it_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("s") / "gateway.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        load_settings(file, {})
    except SettingsError as error:
        assert error.problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("inspect: {redact_fields: ['1']}", "inspect.redact_fields.0: found '1', allowed: a field name of at most 64"),
        ("inspect: {redact_fields: {a: 1}}", "inspect.redact_fields: found a mapping, allowed: a list"),
        ("inspect: {frame_log: {keep: -1}}", "inspect.frame_log.keep: found -1, allowed: a whole number of at least 0"),
        ("inspect: {frame_log: {path: ''}}", "inspect.frame_log.path: found '', allowed: the path of a file"),
        ("inspect: {frame_log: {}}", "inspect.frame_log.path: found nothing, allowed: a value; this key is required"),
        ("inspect: {sessions: 100001}", "inspect.sessions: found 100001, allowed: a whole number up to 100000"),
        ("admin: {hosts: [a/b]}", "admin.hosts.0: found 'a/b', allowed: a host name without port"),
        ("tracing: {service_name: ' '}", "tracing.service_name: found ' ', allowed: a name of at most 100 characters"),
        ("websocket: {allowed_origins: [x]}", "websocket.allowed_origins.0: found 'x', allowed: an origin such as"),
        ("websocket: {idle: 75}", "websocket.idle: found 75, allowed: a duration with its unit"),
        ("websocket: {max_connections: {total: 0}}", "total: found 0, allowed: a whole number of at least 1"),
        ("websocket: {frame_rate: 5}", "websocket.frame_rate: found 5, allowed: a mapping of keys to values"),
        ("websocket: {compresion: strip}", "found an unknown key, allowed: max_message, idle,"),
        ("websocket: {compression: on}", "websocket.compression: found true, allowed: strip or passthrough"),
        (
            "tracing: {headers: {a b: x}}",
            "tracing.headers.a b: found an invalid value (secrets are not shown), allowed: the name",
        ),
        (
            "admin: {listen: ':1', token: x}",
            "admin.token: found an invalid value (secrets are not shown), allowed: 16 to",
        ),
        ("a: [", "found a syntax error (did not find expected ',' or ']'), allowed: valid YAML"),
        ("tls: {certificates: {a.test: 1}}", "tls.certificates.a.test: found 1, allowed: the path of a file"),
    ],
)
def test_a_problem_says_what_is_allowed_there_in_words(tmp_path: Path, text: str, problem: str) -> None:
    found = problems(tmp_path, f"{text}\n{SERVICE}")
    assert sum(problem in each for each in found) == 1, found
    assert sum("admin.token" in each for each in found) == problem.count("admin.token")

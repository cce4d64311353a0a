"""Settings files, good and bad: every problem at once, each with its place, and never a crash."""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from livegate.settings import (
    SettingsError,
    TracingSettings,
    find_settings_file,
    json_schema,
    load_settings,
    route_table,
    yaml_document,
)
from livegate.settings.problems import quoted

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
SERVICE = "services: {a.test: http://127.0.0.1:4000}\n"


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None, **options: Any):
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return load_settings(file, environ or {}, **options)


def problems(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, text, environ)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))
    return [str(problem).partition("gateway.yaml")[2] or str(problem) for problem in raised.value.problems]


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


@pytest.mark.parametrize("name", ["gateway.yaml", "staging.example.yaml"])
def test_the_files_in_configs_are_good_and_fit_their_schema(name: str) -> None:
    settings = load_settings(CONFIGS / name, {})
    assert settings.services
    jsonschema.validate(yaml.safe_load((CONFIGS / name).read_text()), json_schema())


def test_the_schema_in_configs_is_the_one_of_the_code() -> None:
    assert json.loads((CONFIGS / "gateway.schema.json").read_text()) == json_schema()
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "text", ["listen: 8080", "limits: {head: 3}", "servces: {}", "services: {a: {bakend: x}}", "log: {format: xml}"]
)
def test_an_editor_with_the_schema_sees_the_same_mistakes(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("listen", ["0.0.0.0:4000", ":4000", "[::1]:4000", "localhost:4000", "127.0.0.1:4000"])
def test_a_backend_is_never_the_gateway_under_another_name(tmp_path: Path, listen: str) -> None:
    assert any(
        "other than the gateway's own" in problem for problem in problems(tmp_path, f"listen: '{listen}'\n{SERVICE}")
    )


@pytest.mark.parametrize(
    ("unit", "good", "bad"),
    [
        ("timeouts: {connect: X}", ["1ms", "1.5s", "24h", "1h30m"], ["0s", "25h", "10", "s", "-1s", "1 s", "1d", "true", "[1]"]),
        ("limits: {body: X}", ["2MiB", "1.5GiB", "3000 kB", "2000000B"], ["0B", "1", "1TB", "-1B", "9999999999B", "999999999GiB"]),
        ("rate_limit: {user: X}", ["1/second", "5 per hour", "7/day", "null"], ["0/minute", "1/week", "5", "99999999/day"]),
    ],
)  # fmt: skip
def test_quantities_have_units_and_bounds(tmp_path: Path, unit: str, good: list[str], bad: list[str]) -> None:
    for text in good:
        load(tmp_path, f"{unit.replace('X', text)}\n{SERVICE}")
    for text in bad:
        assert problems(tmp_path, f"{unit.replace('X', text)}\n{SERVICE}"), text


def test_variables_are_put_in(tmp_path: Path) -> None:
    text = "services: {a.test: 'http://${HOST}:${PORT}'}\nlimits: {headers: '${COUNT}'}\nlog: {level: '${LEVEL}'}\n"
    environ = {"HOST": "127.0.0.1", "PORT": "4000", "COUNT": "7", "LEVEL": "error"}
    settings = load(tmp_path, text, environ)
    assert settings.services[0].backend.url == "http://127.0.0.1:4000"
    assert (settings.limits.headers, settings.log.level) == (7, "error")
    assert problems(tmp_path, "services: {a.test: '$${HOST}'}\n", environ)[0].count("'${HOST}'") == 1


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
    assert "GATEWAY_SERVICES" in str(raised.value) or "services.a.test" in str(raised.value)


def test_a_rate_of_the_environment_bears_a_broken_section(tmp_path: Path) -> None:
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


def test_a_huge_file_or_document_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_document, "MAX_NODES", 50)
    bomb = "a: &a [1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\n"
    assert any("50 values" in problem for problem in problems(tmp_path, bomb + SERVICE))
    monkeypatch.setattr(yaml_document, "MAX_FILE_BYTES", 10)
    assert any("at most 10 bytes" in problem for problem in problems(tmp_path, SERVICE))


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


def test_values_are_shown_short() -> None:
    assert quoted(None) == "nothing"
    assert len(quoted("x" * 500)) < 100


def test_the_admin_listener(tmp_path: Path) -> None:
    services = "services: {a.test: http://10.0.0.1:1}\n"
    assert load(tmp_path, services).admin is None
    admin = load(tmp_path, f"{services}admin: {{}}\n").admin
    assert (str(admin.listen), admin.token, admin.hosts) == ("127.0.0.1:9091", None, ())
    text = f"{services}admin: {{listen: ':9', token: '${{TOKEN}}', hosts: [Ops.test]}}\n"
    admin = load(tmp_path, text, {"TOKEN": "s" * 16}).admin
    assert (admin.token, admin.hosts) == ("s" * 16, ("ops.test",))
    assert "s" * 16 not in repr(admin)


def test_two_listeners_on_one_port_of_a_machine_with_two_addresses_are_well(tmp_path: Path) -> None:
    text = "listen: 192.0.2.1:80\nservices: {a.test: http://10.0.0.1:80}\nadmin: {listen: '127.0.0.1:80'}\n"
    assert str(load(tmp_path, text).admin.listen) == "127.0.0.1:80"
    found = "\n".join(problems(tmp_path, text.replace("192.0.2.1", "0.0.0.0")))
    assert "a port other than that of listen" in found


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "x.localhost",
        "localhost.localdomain",
        "[::1]",
        "127.3.2.1",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "[::]",
    ],
)
def test_a_backend_at_the_admin_listener_is_refused_by_any_name_that_says_so(tmp_path: Path, host: str) -> None:
    found = "\n".join(problems(tmp_path, f"services: {{a.test: 'http://{host}:9091'}}\nadmin: {{}}\n"))
    assert "a backend other than the gateway's own listeners" in found
    assert load(tmp_path, "services: {a.test: 'http://10.0.0.1:9091'}\nadmin: {}\n").admin


@pytest.mark.parametrize(
    ("admin", "fragment"),
    [
        ("{listen: '0.0.0.0:9091'}", "admin.token: found nothing, allowed: a token, because"),
        ("{listen: ':9091'}", "is not a loopback address"),
        ("{listen: '[2001:db8::1]:9091'}", "is not a loopback address"),
        ("{listen: '127.0.0.1:8080'}", "a port other than that of listen"),
        (
            "{listen: '127.0.0.1:7', token: hunter2}",
            "found an invalid value (secrets are not shown), allowed: 16 to 256",
        ),
        ("{listen: '127.0.0.1:7', token: 77777}", "found an invalid value (secrets are not shown), allowed: 16 to 256"),
        ("{lisen: '127.0.0.1:7'}", "listen, token, hosts (did you mean listen?)"),
        ("{listen: 'localhost:1'}", "a backend other than the gateway's own listeners"),
        ("{listen: '[::1]:1'}", "a backend other than the gateway's own listeners"),
        ("{listen: ':1', token: sixteen-characters}", "a backend other than the gateway's own listeners"),
        ("{listen: '[::ffff:127.0.0.1]:1'}", "a backend other than the gateway's own listeners"),
        ("{listen: '192.0.2.1:9091'}", "admin.token: found nothing, allowed: a token, because"),
        ("{listen: 'ops.internal:9091'}", "admin.token: found nothing, allowed: a token, because"),
        ("{listen: ':8080', token: sixteen-characters}", "a port other than that of listen"),
        ("{listen: 'localhost:8081'}", "a port other than that of mitmweb"),
        ("{hosts: ['a/b']}", "hosts"),
    ],
)
def test_an_admin_listener_that_would_be_open_or_a_backend_is_refused(
    tmp_path: Path, admin: str, fragment: str
) -> None:
    found = "\n".join(problems(tmp_path, f"services: {{a.test: http://127.0.0.1:1}}\nadmin: {admin}\n"))
    assert fragment in found
    assert "hunter2" not in found
    assert "77777" not in found


def test_tracing(tmp_path: Path) -> None:
    assert load(tmp_path, SERVICE).tracing is None
    assert load(tmp_path, f"{SERVICE}tracing: {{}}\n").tracing == TracingSettings()
    text = (
        "tracing: {endpoint: https://otlp.test/in/, sample: 0.25, service_name: Edge 1, headers: {X-Key: '${KEY}'}}\n"
    )
    tracing = load(tmp_path, SERVICE + text, {"KEY": "hunter2 x"}).tracing
    assert tracing == TracingSettings(
        endpoint="https://otlp.test/in", sample=0.25, service_name="Edge 1", headers={"X-Key": "hunter2 x"}
    )
    assert "hunter2" not in repr(tracing)


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
def test_a_collector_is_a_url_to_which_the_path_of_traces_is_added(
    tmp_path: Path, endpoint: str, expected: str | None
) -> None:
    text = SERVICE + yaml.safe_dump({"tracing": {"endpoint": endpoint}})
    if expected is None:
        assert "tracing.endpoint" in problems(tmp_path, text)[0]
    else:
        assert load(tmp_path, text).tracing.endpoint == expected


@pytest.mark.parametrize(
    ("tracing", "fragment"),
    [
        ("{sample: 1.5}", "found '1.5', allowed: a number from 0 to 1"),
        ("{sample: -1}", "a number from 0 to 1"),
        ("{sample: .nan}", "a number from 0 to 1"),
        ("{sample: true}", "a number from 0 to 1"),
        ("{sample: some}", "a number from 0 to 1"),
        ("{service_name: ''}", "tracing.service_name"),
        ("{headers: {'a b': hunter2}}", "secrets are not shown), allowed: the name of a header field"),
        ("{headers: {a: 77777}}", "secrets are not shown), allowed: a header value"),
        ('{headers: {a: "hunter2\\n"}}', "secrets are not shown), allowed: a header value"),
        ("{headers: hunter2}", "secrets are not shown), allowed: a mapping of keys to values"),
        ("{endpoint: 'http://u:hunter2@c.test'}", "secrets are not shown), allowed: an http:// or https:// URL"),
        ("{endpoint: 'http://localhost:8080'}", "a collector other than the gateway itself"),
        ("{endpont: x}", "endpoint, sample, service_name, headers (did you mean endpoint?)"),
    ],
)
def test_tracing_that_cannot_be_is_refused_and_no_secret_is_shown(tmp_path: Path, tracing: str, fragment: str) -> None:
    found = "\n".join(problems(tmp_path, f"{SERVICE}tracing: {tracing}\n"))
    assert fragment in found
    assert "hunter2" not in found
    assert "77777" not in found


def test_tracing_without_its_packages_says_how_to_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    (found,) = problems(tmp_path, f"{SERVICE}tracing: {{}}\n")
    assert "tracing: found no OpenTelemetry packages" in found
    assert "pip install 'livegate[otel]'" in found
    assert load(tmp_path, SERVICE).tracing is None

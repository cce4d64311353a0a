"""Checks across several keys: listeners, the admin listener, tracing."""

import sys
from pathlib import Path

import pytest
from settings_files import SERVICE, load, problems

from livegate.settings import TracingSettings


@pytest.mark.parametrize("listen", ["0.0.0.0:4000", ":4000", "[::1]:4000", "localhost:4000", "127.0.0.1:4000"])
def test_a_backend_is_never_the_gateway_under_another_name(tmp_path: Path, listen: str) -> None:
    assert any(
        "other than the gateway's own" in problem for problem in problems(tmp_path, f"listen: '{listen}'\n{SERVICE}")
    )


def test_the_admin_listener(tmp_path: Path) -> None:
    services = "services: {a.test: http://10.0.0.1:1}\n"
    assert load(tmp_path, services).admin is None
    admin = load(tmp_path, f"{services}admin: {{}}\n").admin
    assert (str(admin.listen), admin.token, admin.hosts) == ("127.0.0.1:9091", None, ())
    text = f"{services}admin: {{listen: ':9', token: '${{TOKEN}}', hosts: [Ops.test]}}\n"
    admin = load(tmp_path, text, {"TOKEN": "s" * 16}).admin
    assert (admin.token, admin.hosts) == ("s" * 16, ("ops.test",))
    assert "s" * 16 not in repr(admin)


def test_two_listeners_may_share_a_port_on_different_addresses(tmp_path: Path) -> None:
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
def test_a_backend_at_the_admin_listener_is_refused_by_any_local_name(tmp_path: Path, host: str) -> None:
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
def test_wrong_tracing_is_refused_and_no_secret_is_shown(tmp_path: Path, tracing: str, fragment: str) -> None:
    found = "\n".join(problems(tmp_path, f"{SERVICE}tracing: {tracing}\n"))
    assert fragment in found
    assert "hunter2" not in found
    assert "77777" not in found


def test_tracing_without_its_packages_is_refused_with_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    (found,) = problems(tmp_path, f"{SERVICE}tracing: {{}}\n")
    assert "tracing: found no OpenTelemetry packages" in found
    assert "pip install 'livegate[otel]'" in found
    assert load(tmp_path, SERVICE).tracing is None


def test_a_service_inherits_what_it_does_not_set_itself(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
services:
  plain.test: http://127.0.0.1:4000
  own.test:
    backend: http://127.0.0.1:4000
    timeouts: {response: 2s, connect: null}
    rate_limit: {user: null, dry_run: null}
    websocket: {idle: null, max_connections: {per_client: 5}, history: {messages: 0}, allowed_origins: [https://App.test]}
timeouts: {connect: 1s, response: 3s}
rate_limit: {user: 1/hour, ip: 2/hour, dry_run: true}
websocket: {idle: 5s, max_age: 1h, max_connections: {total: 9, per_client: 8}, history: {bytes: 2KiB}}
""",
    )
    plain, own = settings.services
    assert (plain.timeouts, plain.rate_limit, plain.websocket) == (
        settings.timeouts,
        settings.rate_limit,
        settings.websocket,
    )
    assert (own.timeouts.connect, own.timeouts.response, own.timeouts.upgrade) == (1.0, 2.0, 10.0)
    assert (own.rate_limit.user, str(own.rate_limit.ip), own.rate_limit.dry_run) == (None, "2/hour", True)
    assert (own.own_user_rate, own.own_ip_rate) == (True, False)
    assert (own.websocket.idle, own.websocket.max_age) == (None, 3600.0)
    assert own.websocket.max_connections.model_dump() == {"total": 9, "per_service": None, "per_client": 5}
    assert own.websocket.history.model_dump() == {"messages": 0, "bytes": 2048}
    assert own.websocket.allowed_origins == ("https://app.test",)


def test_the_total_of_sockets_is_no_key_of_a_service(tmp_path: Path) -> None:
    text = "services: {a.test: {backend: http://10.0.0.1:1, websocket: {max_connections: {total: 5}}}}\n"
    (found,) = problems(tmp_path, text)
    assert (
        "services.a.test.websocket.max_connections.total: found a limit of the whole gateway, allowed: per_service and"
        in found
    )


def test_a_ca_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    text = "services: {a.test: {backend: https://10.0.0.1, tls: {ca_file: none.pem}}}\n"
    (found,) = problems(tmp_path, text)
    assert f"{tmp_path}/none.pem cannot be read: No such file or directory" in found

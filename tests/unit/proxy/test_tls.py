"""OpenSSL connections, and the addon that hands them out."""

from pathlib import Path

import pytest
from flows import settings
from mitmproxy import connection, tls
from mitmproxy.connection import Server
from mitmproxy.options import Options
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from certificates import Authority
from livegate.mitm.layers.upstream import upstream_of
from livegate.pipeline.certificates import Certificates
from livegate.proxy import tls as openssl
from livegate.proxy.policy import Upstream
from livegate.settings import CurrentSettings


def starting(conn: connection.Connection) -> tls.TlsData:
    return tls.TlsData(conn, Context(tflow.tclient_conn(), Options()))


def test_a_client_gets_the_certificate_of_its_host_and_others_are_left_to_mitmproxy(tmp_path: Path) -> None:
    Authority().write(tmp_path / "a.pem", "a.test")
    addon = Certificates(CurrentSettings(settings(tmp_path, tls={"certificates": {"a.test": "a.pem"}})))
    for name, expected in (("a.test", True), ("b.test", False), (None, False)):
        client = tflow.tclient_conn()
        client.sni = name
        data = starting(client)
        addon.tls_start_client(data)
        assert (data.ssl_conn is not None) is expected


def test_a_connection_that_another_addon_has_made_is_kept(tmp_path: Path) -> None:
    addon = Certificates(CurrentSettings(settings(tmp_path)))
    for hook in (addon.tls_start_client, addon.tls_start_server):
        data = starting(tflow.tclient_conn())
        data.ssl_conn = taken = object()  # type: ignore[assignment]
        hook(data)
        assert data.ssl_conn is taken


def test_without_settings_no_certificate_is_used() -> None:
    data = starting(tflow.tclient_conn())
    Certificates(CurrentSettings()).tls_start_client(data)
    assert data.ssl_conn is None


@pytest.mark.parametrize("name", ["api.internal", "127.0.0.1", "::1"])
def test_a_backends_certificate_is_checked_for_its_name_or_address(tmp_path: Path, name: str) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority().pem)
    conn = openssl.connect(name, tmp_path / "ca.pem", verify=True)
    assert (conn.get_servername() or b"").decode() in (name, "")


def test_a_missing_ca_file_fails_the_connection_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(address=("127.0.0.1", 1))
    upstream_of[server] = Upstream("127.0.0.1", 1, tls=True, ca_file=tmp_path / "gone.pem")
    data = starting(server)
    Certificates(CurrentSettings()).tls_start_server(data)
    assert data.ssl_conn is None
    assert "cannot start TLS to 127.0.0.1:1" in caplog.text


def test_a_backend_that_is_not_the_gateways_is_left_to_mitmproxy() -> None:
    data = starting(Server(address=("127.0.0.1", 1)))
    Certificates(CurrentSettings()).tls_start_server(data)
    assert data.ssl_conn is None

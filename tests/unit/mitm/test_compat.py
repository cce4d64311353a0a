"""The contract with mitmproxy's private parts: it holds today, and a change of it is noticed."""

from types import SimpleNamespace

from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.test import taddons, tflow

from livegate import mitm
from livegate.mitm import compat
from livegate.mitm.layers.stream import CLOSED_BEFORE_RESPONSE
from livegate.mitm.proxyserver import close_client, close_leaked_socket, prepare_certificate_store


def test_the_installed_mitmproxy_has_the_shape_that_livegate_builds_on() -> None:
    assert mitm.INCOMPATIBILITIES == ()


def test_a_part_that_is_missing_or_changed_is_named() -> None:
    class Owner:
        def changed(self, other):
            pass

    expected = ((Owner, "missing", ("self",)), (Owner, "changed", ("self", "one")))
    names = (("Other", frozenset({"kept"}), frozenset({"kept", "lost", "gone"})),)
    assert list(compat.problems(expected, names)) == [
        "Owner.missing is missing",
        "Owner.changed takes ('self', 'other'), expected ('self', 'one')",
        "Other has no gone, lost",
    ]


def test_the_message_for_a_connection_closed_before_a_response_is_mitmproxys() -> None:
    import inspect

    assert f'"{CLOSED_BEFORE_RESPONSE}"' in inspect.getsource(_http1.Http1Client.read_headers)


def test_closing_a_client_that_has_disconnected_does_nothing() -> None:
    with taddons.context(Proxyserver()):
        close_client(tflow.tclient_conn())


def test_a_live_client_is_closed_once_it_is_handled() -> None:
    closed: list[object] = []
    server = Proxyserver()
    with taddons.context(server):
        client = tflow.tclient_conn()
        io = SimpleNamespace(handler=None)
        server.connections[client.id] = SimpleNamespace(transports={client: io}, close_connection=closed.append)  # type: ignore[assignment]
        close_client(client)
        assert closed == []
        io.handler = object()
        close_client(client)
        assert closed == [client]


def test_the_certificate_store_is_ready_before_anybody_connects(tmp_path) -> None:
    tlsconfig = TlsConfig()
    with taddons.context(tlsconfig) as tctx:
        tctx.options.update(confdir=str(tmp_path))
        tlsconfig.certstore = None  # type: ignore[assignment]
        prepare_certificate_store()
        store = tlsconfig.certstore
        assert store.default_ca
        prepare_certificate_store()
        assert tlsconfig.certstore is store
        ctx.master.addons.remove(tlsconfig)
        prepare_certificate_store()


def test_a_socket_that_mitmproxy_leaked_is_closed() -> None:
    closed: list[str] = []
    server = Proxyserver()
    with taddons.context(server):
        client, backend = tflow.tclient_conn(), tflow.tserver_conn()
        close_leaked_socket(client, client)
        transports = {
            client: SimpleNamespace(writer=SimpleNamespace(close=lambda: closed.append("client"))),
            backend: SimpleNamespace(writer=None),
        }
        server.connections[client.id] = SimpleNamespace(transports=transports)  # type: ignore[assignment]
        for conn in (client, backend, client):
            close_leaked_socket(client, conn)
    assert closed == ["client"]
    assert transports == {}

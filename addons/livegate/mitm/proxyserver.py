"""Access to mitmproxy's proxy server: client connections, the streams on them, and the certificate store."""

from collections.abc import Iterator
from typing import Any

from mitmproxy import connection, ctx, http
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import HttpEvent


class Abandoned(HttpEvent):
    """Event for a stream of the gateway's own layer: fail the flow if it still waits for the backend's response."""


def handler_of(client: connection.Client) -> Any:
    """Return the handler of a client's connection, or None when it has closed."""
    proxyserver = ctx.master.addons.get("proxyserver")
    return proxyserver.connections.get(client.id) if proxyserver else None


def close_client(client: connection.Client) -> None:
    """Close a client's connection, if it is open."""
    handler = handler_of(client)
    if handler is not None and client in handler.transports and handler.transports[client].handler is not None:
        handler.close_connection(client)


def open_connections() -> int:
    """Return the number of client connections."""
    proxyserver = ctx.master.addons.get("proxyserver")
    return len(proxyserver.connections) if proxyserver else 0


def close_idle_clients() -> None:
    """Close client connections without a request in progress."""
    proxyserver = ctx.master.addons.get("proxyserver")
    for handler in list(proxyserver.connections.values()) if proxyserver else ():
        if not _streams(handler):
            close_client(handler.client)


def flows_awaiting_response() -> Iterator[http.HTTPFlow]:
    """Yield the flows that wait for a backend's response head."""
    proxyserver = ctx.master.addons.get("proxyserver")
    for handler in list(proxyserver.connections.values()) if proxyserver else ():
        for stream in _streams(handler):
            if getattr(stream, "awaits_response", False):  # a stream of the gateway's own layer
                yield stream.flow


def abandon(flow: http.HTTPFlow) -> None:
    """Fail a flow if it still waits for a backend's response head."""
    handler = handler_of(flow.client_conn)
    for stream in _streams(handler) if handler is not None else ():
        if getattr(stream, "flow", None) is flow:
            handler.handle(Abandoned(stream.stream_id))


def _streams(handler: Any) -> list[Any]:
    """Return the streams of a client's connection."""
    layers = [each for each in handler.layer.context.layers if isinstance(each, http_layers.HttpLayer)]
    return [stream for layer in layers for stream in layer.streams.values()]


def close_leaked_socket(client: connection.Client, conn: connection.Connection) -> None:
    """Close the socket of a closed connection if mitmproxy left it open.

    mitmproxy leaks the socket when a connection's task is cancelled while it waits to deliver an event.
    """
    handler = handler_of(client)
    leaked = handler.transports.pop(conn, None) if handler else None
    if leaked is not None and leaked.writer is not None:
        leaked.writer.close()


def prepare_certificate_store() -> None:
    """Load mitmproxy's CA now, because mitmproxy itself does so only after it has started to listen."""
    tlsconfig = ctx.master.addons.get("tlsconfig")
    if tlsconfig is not None and tlsconfig.certstore is None:
        tlsconfig.configure({"confdir"})

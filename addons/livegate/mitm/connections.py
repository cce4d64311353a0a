"""Reaches mitmproxy's own addons: the live connection behind a client, and the certificate store."""

from mitmproxy import connection, ctx


def close_client(client: connection.Client) -> None:
    """Close a client's connection at once; nothing happens when it has ended already."""
    proxyserver = ctx.master.addons.get("proxyserver")
    handler = proxyserver.connections.get(client.id) if proxyserver else None
    if handler is not None and client in handler.transports and handler.transports[client].handler is not None:
        handler.close_connection(client)


def prepare_certificate_store() -> None:
    """Load mitmproxy's own CA now; it would do so only after it has begun to listen."""
    tlsconfig = ctx.master.addons.get("tlsconfig")
    if tlsconfig is not None and tlsconfig.certstore is None:
        tlsconfig.configure({"confdir"})

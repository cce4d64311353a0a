"""Reaches the live connection behind a client, which mitmproxy keeps in its proxy server addon."""

from mitmproxy import connection, ctx


def close_client(client: connection.Client) -> None:
    """Close a client's connection at once; nothing happens when it has ended already."""
    proxyserver = ctx.master.addons.get("proxyserver")
    handler = proxyserver.connections.get(client.id) if proxyserver else None
    if handler is not None and client in handler.transports and handler.transports[client].handler is not None:
        handler.close_connection(client)

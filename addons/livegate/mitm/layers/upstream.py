"""Request of a stream for a backend connection, and the upstream of each connection."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy.layers import http as http_layers

from livegate.proxy.policy import Upstream

upstream_of: WeakKeyDictionary[Server, Upstream] = WeakKeyDictionary()
"""Upstream by backend connection, for the TLS hooks."""


@dataclass
class GetUpstream(http_layers.GetHttpConnection):
    """Command that requests a new or kept-alive connection to an upstream."""

    upstream: Upstream | None = None
    stream_id: int = 0

    __hash__ = http_layers.GetHttpConnection.__hash__

    @classmethod
    def to(cls, upstream: Upstream, stream_id: int) -> "GetUpstream":
        return cls((upstream.host, upstream.port), upstream.tls, None, "tcp", upstream, stream_id)

    def connection_spec_matches(self, connection: Connection) -> bool:
        return isinstance(connection, Server) and upstream_of.get(connection) == self.upstream

"""Chooses the layers of a connection: the gateway's own HTTP layer, with TLS below it if the client uses TLS."""

import asyncio
import logging

from mitmproxy import connection, exceptions
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import layer, server_hooks, tunnel
from mitmproxy.proxy.layers import ClientTLSLayer, modes

from livegate import mitm
from livegate.mitm.layers.http import GatewayHttpLayer
from livegate.mitm.proxyserver import close_leaked_socket
from livegate.pipeline.reverse_mode import BLACK_HOLE, is_reverse
from livegate.proxy.policy import ProxyPolicy

logger = logging.getLogger(__name__)

TLS_HANDSHAKE_RECORD = 0x16
TLS_RECORD_PREFIX_BYTES = 3


class GatewayNextLayer:
    """Choose layers. Refuse clients that did not connect in reverse mode, and backends that no route chose."""

    def __init__(self, policy: ProxyPolicy, ready: asyncio.Event) -> None:
        self._policy = policy
        self._ready = ready

    async def client_connected(self, client: connection.Client) -> None:
        if not is_reverse(client):
            client.error = "livegate serves as a reverse proxy only"
            return
        # mitmproxy listens before its addons have started. An early request would find no certificate store, and the
        # error logged for it would end the start.
        await self._ready.wait()

    def client_disconnected(self, client: connection.Client) -> None:
        close_leaked_socket(client, client)

    def server_disconnected(self, data: server_hooks.ServerConnectionHookData) -> None:
        close_leaked_socket(data.client, data.server)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        context = nextlayer.context
        if nextlayer.layer is not None or mitm.INCOMPATIBILITIES:
            return
        if len(context.layers) != 1 or not isinstance(context.layers[0], modes.ReverseProxy):
            return
        data = nextlayer.data_client()
        if not data:
            return
        if data[0] == TLS_HANDSHAKE_RECORD and len(data) < TLS_RECORD_PREFIX_BYTES:
            raise exceptions.AddonHalt  # undecided yet, and mitmproxy would take it for plain HTTP
        stack = tunnel.LayerStack()
        if starts_like_tls_record(data):
            stack /= ClientTLSLayer(context)
        stack /= GatewayHttpLayer(context, self._policy)
        nextlayer.layer = stack[0]

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        if not is_reverse(data.client):
            data.server.error = "livegate serves as a reverse proxy only"
        elif data.server.address is None or data.server.address[0] == BLACK_HOLE[0]:
            data.server.error = "no service is configured for this request"
        if data.server.error:
            logger.warning("refused to connect to %s: %s", data.server.address, data.server.error)

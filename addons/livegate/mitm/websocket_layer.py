"""mitmproxy's WebSocket layer with the one correction that LiveView cannot live without: a lost backend looks lost."""

from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.websocket import WebsocketLayer
from wsproto.frame_protocol import CloseReason


class GatewayWebsocketLayer(WebsocketLayer):
    """Relays messages; a connection that ends without a close frame ends so for the other side too (RFC 6455 7.1.5).

    mitmproxy says 1000 to the side that is left, and on 1000 phoenix.js does not reconnect.
    """

    def relay_messages(self, event: events.Event) -> layer.CommandGenerator[None]:
        for command in super().relay_messages(event):
            if isinstance(command, commands.SendData) and self._lost():
                continue
            yield command

    def _lost(self) -> bool:
        assert self.flow.websocket is not None
        return self.flow.websocket.close_code == CloseReason.ABNORMAL_CLOSURE

"""HTTP layer of a client connection; the `next_layer` hook makes it.

It makes the gateway's HTTP/1 connections and streams, runs their deadlines by one timer, and pools backend connections
by upstream, which includes TLS parameters.
"""

import time
from collections.abc import Iterator
from weakref import WeakSet

from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import tls

from livegate.mitm.layers.events import (
    DeadlineKey,
    FlushTimeout,
    LingerTimeout,
    RelayOutput,
    RequestBodyTimeout,
    RequestHeadTimeout,
    ResponseTimeout,
)
from livegate.mitm.layers.http1 import GatewayHttp1Client, GatewayHttp1Server
from livegate.mitm.layers.stream import GatewayStream
from livegate.mitm.layers.teardown import break_cycles
from livegate.mitm.layers.upstream import GetUpstream, upstream_of
from livegate.mitm.proxyserver import Abandoned
from livegate.proxy.policy import ProxyPolicy, Upstream

type Commands = layer.CommandGenerator[None]


def _fork(context: Context) -> Context:
    """Copy a context like `Context.fork`, but without the server connection that it makes and discards."""
    fork = Context.__new__(Context)
    vars(fork).update(vars(context))
    fork.layers = context.layers.copy()
    return fork


class GatewayHttpClient(layer.Layer):
    """Opens a backend connection and speaks HTTP/1 on it."""

    def _handle_event(self, event: events.Event) -> Commands:
        error: str | None = yield commands.OpenConnection(self.context.server)
        if not error:
            child = GatewayHttp1Client(self.context)
            self._handle_event = child.handle_event  # type: ignore[method-assign]  # as mitmproxy's own layers do
            yield from child.handle_event(event)
        yield http_layers.RegisterHttpConnection(self.context.server, error)


class GatewayHttpLayer(http_layers.HttpLayer):
    """All HTTP on one client connection."""

    def __init__(self, context: Context, policy: ProxyPolicy) -> None:
        super().__init__(context, http_layers.HTTPMode.transparent)
        self.policy = policy
        self.used_connections: WeakSet[Server] = WeakSet()
        """Backend connections that have carried a request."""
        self._deadlines: dict[DeadlineKey, float] = {}
        self._wakeups: dict[commands.RequestWakeup, float] = {}

    def set_deadline(self, key: DeadlineKey, seconds: float) -> None:
        """Start a timer; a pending one of the same key is replaced. It ends with the client's connection."""
        self._deadlines[key] = time.monotonic() + seconds

    def clear_deadline(self, key: DeadlineKey) -> None:
        """Cancel a timer, if it is pending."""
        self._deadlines.pop(key, None)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, events.Wakeup) and event.command in self._wakeups:
            del self._wakeups[event.command]
            for key in self._expired():
                yield from self._expire(key)
        elif isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            pass  # a closed connection that was removed
        elif isinstance(event, RelayOutput | Abandoned):
            if event.stream_id in self.streams:
                yield from self.event_to_child(self.streams[event.stream_id], event)
            return
        elif isinstance(event, events.MessageInjected):
            for stream in [stream for stream in self.streams.values() if stream.flow is event.flow]:
                yield from self.event_to_child(stream, event)
            return
        elif isinstance(event, events.Start):
            yield from self._start(event)
        else:
            yield from super()._handle_event(event)
        yield from self._arm()

    def _start(self, event: events.Start) -> Commands:
        """Replace mitmproxy's own, which leaks an unused HTTP connection."""
        self.policy.http_started(self.context.client)
        self.connections[self.context.client] = GatewayHttp1Server(self.context.fork(), self)
        self.set_deadline("head", self.policy.limits().keep_alive_timeout_s)
        yield from self.event_to_child(self.connections[self.context.client], event)

    def _expired(self) -> Iterator[DeadlineKey]:
        now = time.monotonic()
        for key in [key for key, when in self._deadlines.items() if when <= now]:
            if self._deadlines.pop(key, None) is not None:
                yield key

    def _arm(self) -> Commands:
        """Keep one wake-up pending, not later than the first deadline."""
        if not self._deadlines:
            return
        first = min(self._deadlines.values())
        if not any(when <= first for when in self._wakeups.values()):
            wakeup = commands.RequestWakeup(max(0.0, first - time.monotonic()) + 0.001)
            self._wakeups[wakeup] = first
            yield wakeup

    def _expire(self, key: DeadlineKey) -> Commands:
        match key:
            case "head":
                yield from self.event_to_child(self.connections[self.context.client], RequestHeadTimeout())
            case "body":
                yield from self.event_to_child(self.connections[self.context.client], RequestBodyTimeout())
            case "linger":
                yield from self.event_to_child(self.connections[self.context.client], LingerTimeout())
            case ("connect", int(stream_id)):
                yield from self._abort_connect(stream_id)
            case ("response", int(stream_id)) if stream_id in self.streams:
                yield from self.event_to_child(self.streams[stream_id], ResponseTimeout(stream_id))
            case ("flush", int(stream_id)) if stream_id in self.streams:
                yield from self.event_to_child(self.streams[stream_id], FlushTimeout(stream_id))

    def _abort_connect(self, stream_id: int) -> Commands:
        for server, waiting in list(self.waiting_for_establishment.items()):
            if any(isinstance(request, GetUpstream) and request.stream_id == stream_id for request in waiting):
                self.policy.response_timed_out(self.streams[stream_id].flow, "connect")
                yield commands.CloseConnection(server)

    def make_stream(self, stream_id: int) -> Commands:
        self.streams[stream_id] = stream = GatewayStream(_fork(self.context), stream_id, self)
        yield from self.event_to_child(stream, events.Start())

    def get_connection(self, event: http_layers.GetHttpConnection, *, reuse: bool = True) -> Commands:
        assert isinstance(event, GetUpstream)
        assert event.upstream is not None
        for connection in list(self.connections):
            if isinstance(connection, Server) and not event.connection_spec_matches(connection):
                continue
            if connection in self.waiting_for_establishment:
                self.waiting_for_establishment[connection].append(event)
                return
            if isinstance(connection, Server) and connection.connected and reuse:
                stream = self.command_sources.pop(event)
                reply = http_layers.GetHttpConnectionCompleted(event, (connection, None))
                yield from self.event_to_child(stream, reply)
                return
        yield from self._connect(event, event.upstream)

    def _connect(self, event: GetUpstream, upstream: Upstream) -> Commands:
        self._remove_closed()
        context = self.context.fork()
        context.server = Server(address=event.address, transport_protocol="tcp")
        upstream_of[context.server] = upstream
        stack = tunnel.LayerStack()
        if upstream.tls:
            context.server.sni = upstream.server_name or upstream.host
            context.server.alpn_offers = (b"http/1.1",)
            stack /= tls.ServerTLSLayer(context)
        stack /= GatewayHttpClient(context)
        self.connections[context.server] = stack[0]
        self.waiting_for_establishment[context.server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _remove_closed(self) -> None:
        """Remove closed backend connections, which a long-lived client would otherwise accumulate."""
        for connection in list(self.connections):
            if (
                isinstance(connection, Server)
                and connection not in self.waiting_for_establishment
                and not connection.connected
            ):
                break_cycles(self.connections.pop(connection))

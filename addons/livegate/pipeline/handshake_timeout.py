"""Ends connections that never get as far as a request; every later time limit lives in the gateway's HTTP layer."""

import asyncio

from mitmproxy import connection

from livegate.mitm.proxyserver import close_client
from livegate.settings import CurrentSettings


class HandshakeTimeout:
    """Give a client's connection `keep_alive` seconds to reach HTTP, its TLS handshake included."""

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def client_connected(self, client: connection.Client) -> None:
        if client.error is None and self._current.loaded:
            seconds = self._current.value.timeouts.keep_alive
            self._timers[client.id] = asyncio.get_running_loop().call_later(seconds, self._expire, client)

    def http_started(self, client: connection.Client) -> None:
        """The connection speaks HTTP now (called by the transport)."""
        timer = self._timers.pop(client.id, None)
        if timer is not None:
            timer.cancel()

    def client_disconnected(self, client: connection.Client) -> None:
        self.http_started(client)

    def _expire(self, client: connection.Client) -> None:
        self._timers.pop(client.id, None)
        close_client(client)

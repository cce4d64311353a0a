"""Time limit from accepting a connection to its first HTTP byte. Later time limits are those of the HTTP layer."""

import asyncio

from mitmproxy import connection

from livegate.mitm.proxyserver import close_client
from livegate.settings import CurrentSettings


class HandshakeTimeout:
    """Close a client's connection that has not reached HTTP within `keep_alive` seconds, TLS handshake included."""

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def client_connected(self, client: connection.Client) -> None:
        if client.error is None and self._current.loaded:
            seconds = self._current.value.timeouts.keep_alive
            self._timers[client.id] = asyncio.get_running_loop().call_later(seconds, self._expire, client)

    def http_started(self, client: connection.Client) -> None:
        """Stop the timer of a connection that has reached HTTP (called by the transport)."""
        timer = self._timers.pop(client.id, None)
        if timer is not None:
            timer.cancel()

    def client_disconnected(self, client: connection.Client) -> None:
        self.http_started(client)

    def _expire(self, client: connection.Client) -> None:
        self._timers.pop(client.id, None)
        close_client(client)

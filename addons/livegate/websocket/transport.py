"""Interfaces that the relay needs: a transport for each peer, and the hooks that see its messages."""

from collections.abc import Awaitable
from typing import Any, Protocol

from mitmproxy.flow import Flow


class PeerTransport(Protocol):
    """Write side and flow control of one peer's connection, over asyncio or over mitmproxy's layers.

    Its owner reports what arrives to the `Peer`: `data_received`, `eof_received`, `connection_lost`, `pause_writing`.
    """

    def write(self, data: bytes) -> None:
        """Send bytes. Does nothing once the connection has closed."""

    def write_eof(self) -> None:
        """Send what is buffered, then the end of the stream. `connection_lost` follows when the peer has closed too."""

    def abort(self) -> None:
        """Close the connection at once; buffered bytes are discarded."""

    def pause_reading(self) -> None:
        """Stop reading, so that TCP flow control slows the peer down."""

    def resume_reading(self) -> None:
        """Read again."""


class Hooks(Protocol):
    """Dispatcher of mitmproxy's hooks. An awaitable that `run` or `lifecycle` returns must be awaited."""

    @property
    def has_ui(self) -> bool:
        """Whether a user interface shows flows."""

    def run(self, name: str, *args: Any) -> Awaitable[None] | None:
        """Call the hooks of an event. Returns None when all have finished."""

    def lifecycle(self, name: str, data: Any) -> Awaitable[None] | None:
        """Call the hooks of an event, then `update` when `data` is a flow."""

    def update(self, flow: Flow) -> None:
        """Notify the user interfaces that a flow has changed."""

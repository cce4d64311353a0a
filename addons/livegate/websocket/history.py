"""How many messages of a socket are kept on its flow: the newest, within a number and a size."""

from mitmproxy.websocket import WebSocketMessage

from livegate.settings import MessageHistory

NOTHING = MessageHistory(messages=0, bytes=0)
LAST_WORDS = MessageHistory(messages=100, bytes=64 * 1024)
"""What stays of a socket that has ended, while a user interface still shows its flow."""


class History:
    """Trims `flow.websocket.messages` in place; the list itself stays the flow's."""

    def __init__(self, messages: list[WebSocketMessage], bounds: MessageHistory) -> None:
        self._messages = messages
        self._max_messages = bounds.messages
        self._max_bytes = bounds.bytes
        self._bytes = 0
        self.dropped = 0
        """How many messages the list had to let go."""

    def added(self, size: int) -> None:
        """A message of so many bytes was appended, and all hooks have seen it."""
        self._bytes += size
        if self._bytes > self._max_bytes or len(self._messages) > self._max_messages:
            self._trim()

    def _trim(self) -> None:
        messages = self._messages
        excess = max(0, len(messages) - self._max_messages)
        # Counted anew: hooks may have changed messages since.
        self._bytes = sum(len(message.content) for message in messages[excess:])
        while self._bytes > self._max_bytes:
            self._bytes -= len(messages[excess].content)
            excess += 1
        del messages[:excess]
        self.dropped += excess

    def shorten(self, bounds: MessageHistory) -> None:
        """Keep less from now on."""
        self._max_messages, self._max_bytes = bounds.messages, bounds.bytes
        self._bytes = sum(len(message.content) for message in self._messages)
        self._trim()

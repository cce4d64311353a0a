"""How many messages of a socket are kept on its flow: the newest, within a number and a size."""

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.mitm.policy import NOT_KEPT
from livegate.settings import MessageHistory

NOTHING = MessageHistory(messages=0, bytes=0)
LAST_WORDS = MessageHistory(messages=100, bytes=64 * 1024)
"""What stays of a socket that has ended, while a user interface still shows its flow."""
SPARE = 16
"""The part of its bounds that a full history makes free at once: a sixteenth."""


class History:
    """Trims `flow.websocket.messages` in place, and says in the flow's comment how many are gone."""

    def __init__(self, flow: http.HTTPFlow, messages: list[WebSocketMessage], bounds: MessageHistory) -> None:
        self._flow = flow
        self._remark = ""
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

    def shorten(self, bounds: MessageHistory) -> None:
        """Keep less from now on."""
        self._max_messages, self._max_bytes = bounds.messages, bounds.bytes
        if self._bytes > self._max_bytes or len(self._messages) > self._max_messages:
            self._trim()

    def _trim(self) -> None:
        messages = self._messages
        # A little more than needed goes at once, so that not every message makes this work.
        keep_messages = self._max_messages - self._max_messages // SPARE
        keep_bytes = self._max_bytes - self._max_bytes // SPARE
        excess = 0
        while excess < len(messages) and (self._bytes > keep_bytes or len(messages) - excess > keep_messages):
            self._bytes -= len(messages[excess].content)
            excess += 1
        del messages[:excess]
        self.dropped += excess
        self._flow.metadata[NOT_KEPT] = self.dropped
        if self._flow.comment == self._remark:  # not one that somebody else has written
            self._flow.comment = self._remark = f"{self.dropped:,} earlier messages not kept"
        if not messages or self._bytes < 0:  # somebody has changed or removed messages after they were counted
            self._bytes = sum(len(message.content) for message in messages)

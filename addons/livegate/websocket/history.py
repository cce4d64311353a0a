"""How many messages of a socket are kept on its flow: the newest, within its own bounds and those of all sockets."""

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.mitm.policy import NOT_KEPT
from livegate.settings import MessageHistory

NOTHING = MessageHistory(messages=0, bytes=0)
LAST_WORDS = MessageHistory(messages=100, bytes=64 * 1024)
"""What stays of a socket that has ended, while a user interface still shows its flow."""
SPARE = 16
"""The part of its bounds that a full history makes free at once: a sixteenth."""
MESSAGE_BYTES = 2048
"""What a message takes besides its content, about: mitmproxy's object, and what the inspector knows of it."""


class Shelf:
    """Bounds what the histories of all open sockets take together; when that is too much, each keeps an equal share."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used = 0
        self._histories: dict[History, int] = {}
        """What of `used` is whose."""

    def changed(self, history: "History") -> None:
        """A history of an open socket takes more or less than before."""
        self.used += history.cost - self._histories.get(history, 0)
        self._histories[history] = history.cost
        if self.used > self.max_bytes:
            # Less than an equal share each, so that it takes many messages until the next time.
            share = self.max_bytes * (SPARE - 2) // SPARE // len(self._histories)
            for each in list(self._histories):
                each.fit(share)
                self.used += each.cost - self._histories[each]
                self._histories[each] = each.cost

    def left(self, history: "History") -> None:
        """A socket has ended: its messages are now those of whoever keeps its flow."""
        self.used -= self._histories.pop(history, 0)


class History:
    """Trims `flow.websocket.messages` in place, and says in the flow's comment how many are gone."""

    def __init__(
        self, flow: http.HTTPFlow, messages: list[WebSocketMessage], bounds: MessageHistory, shelf: Shelf
    ) -> None:
        self._flow = flow
        self._remark = ""
        self._messages = messages
        self._max_messages = bounds.messages
        self._max_bytes = bounds.bytes
        self._shelf = shelf
        self._bytes = 0
        self.dropped = 0
        """How many messages the list had to let go."""

    @property
    def cost(self) -> int:
        """What the messages take in memory, about, in bytes."""
        return self._bytes + MESSAGE_BYTES * len(self._messages)

    def added(self, size: int) -> None:
        """A message of so many bytes was appended, and all hooks have seen it."""
        self._bytes += size
        if self._bytes > self._max_bytes or len(self._messages) > self._max_messages:
            self._trim()
        self._shelf.changed(self)

    def ended(self, bounds: MessageHistory | None) -> None:
        """The socket has ended; with bounds, less is kept from now on."""
        self._shelf.left(self)
        if bounds is not None:
            self._max_messages, self._max_bytes = bounds.messages, bounds.bytes
            if self._bytes > self._max_bytes or len(self._messages) > self._max_messages:
                self._trim()

    def fit(self, most: int) -> None:
        """Let the oldest messages go until the others cost no more than this."""
        excess, cost = 0, self.cost
        while cost > most and excess < len(self._messages):
            cost -= MESSAGE_BYTES + len(self._messages[excess].content)
            excess += 1
        if excess:
            self._let_go(excess)

    def _trim(self) -> None:
        messages, size = self._messages, self._bytes
        # A little more than needed goes at once, so that not every message makes this work.
        keep_messages = self._max_messages - self._max_messages // SPARE
        keep_bytes = self._max_bytes - self._max_bytes // SPARE
        excess = 0
        while excess < len(messages) and (size > keep_bytes or len(messages) - excess > keep_messages):
            size -= len(messages[excess].content)
            excess += 1
        self._let_go(excess)

    def _let_go(self, excess: int) -> None:
        """The oldest messages go."""
        messages = self._messages
        self._bytes -= sum(len(message.content) for message in messages[:excess])
        del messages[:excess]
        self.dropped += excess
        self._flow.metadata[NOT_KEPT] = self.dropped
        if self._flow.comment == self._remark:  # not one that somebody else has written
            self._flow.comment = self._remark = f"{self.dropped:,} earlier messages not kept"
        if not messages or self._bytes < 0:  # somebody has changed or removed messages after they were counted
            self._bytes = sum(len(message.content) for message in messages)

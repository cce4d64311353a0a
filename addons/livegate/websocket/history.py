"""Which messages of a socket are kept on its flow, within its own bounds and those of all open sockets.

Pieces of uploads go first, then large messages, then all others; of each kind the oldest. So a file that is uploaded
does not push out the events before it.
"""

from collections.abc import Callable, Iterator

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.logs.context import EVICTED_MESSAGES, EVICTED_UPLOADS, evicted_text
from livegate.settings import MessageHistoryLimits

NOTHING = MessageHistoryLimits.model_construct(messages=0, bytes=0)
LARGE = 16
"""A message is large that takes more than this part of the bytes that its socket may keep: a sixteenth."""
UPLOAD_TOPIC = b"lvu:"
"""What the topics of LiveView's uploads begin with (LiveView 0.15 and later)."""
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
        self, flow: http.HTTPFlow, messages: list[WebSocketMessage], bounds: MessageHistoryLimits, shelf: Shelf
    ) -> None:
        self._flow = flow
        self._remark = ""
        self.messages = messages
        self._max_messages = bounds.messages
        self._max_bytes = bounds.bytes
        self._shelf = shelf
        self._bytes = 0
        self.dropped = 0
        """How many messages the list had to let go."""

    @property
    def cost(self) -> int:
        """What the messages take in memory, about, in bytes."""
        return self._bytes + MESSAGE_BYTES * len(self.messages)

    def added(self, size: int) -> None:
        """A message of so many bytes was appended, and all hooks have seen it."""
        self._bytes += size
        if self._bytes > self._max_bytes or len(self.messages) > self._max_messages:
            self._trim()
        self._shelf.changed(self)

    def ended(self, bounds: MessageHistoryLimits | None) -> None:
        """The socket has ended; with bounds, less is kept from now on."""
        self._shelf.left(self)
        if bounds is not None:
            self._max_messages, self._max_bytes = bounds.messages, bounds.bytes
            if self._bytes > self._max_bytes or len(self.messages) > self._max_messages:
                self._trim()

    def fit(self, most: int) -> None:
        """Discard messages until the others cost no more than this."""
        self._discard(lambda count, size: size + MESSAGE_BYTES * count <= most)

    def _trim(self) -> None:
        # A little more than needed goes at once, so that not every message makes this work.
        messages = self._max_messages - self._max_messages // SPARE
        most = self._max_bytes - self._max_bytes // SPARE
        self._discard(lambda count, size: count <= messages and size <= most)

    def _discard(self, is_enough: Callable[[int, int], bool]) -> None:
        """Discard until the number of messages left, and their bytes, are few enough."""
        messages = self.messages
        count, size = len(messages), sum(len(message.content) for message in messages)
        gone: set[int] = set()
        uploads = 0
        for index, is_upload in self._least_wanted():
            if is_enough(count, size):
                break
            gone.add(index)
            count -= 1
            size -= len(messages[index].content)
            uploads += is_upload
        self._bytes = size
        if gone:
            messages[:] = [message for index, message in enumerate(messages) if index not in gone]
            self._record(len(gone), uploads)

    def _least_wanted(self) -> Iterator[tuple[int, bool]]:
        """The messages' places in the order in which they go, and whether each is a piece of an upload."""
        large, others = [], []
        for index, message in enumerate(self.messages):
            if is_upload_chunk(message):
                yield index, True
            elif len(message.content) > self._max_bytes // LARGE:
                large.append(index)
            else:
                others.append(index)
        for index in (*large, *others):
            yield index, False

    def _record(self, count: int, uploads: int) -> None:
        """Say on the flow how many messages are gone by now."""
        self.dropped += count
        metadata = self._flow.metadata
        metadata[EVICTED_MESSAGES] = self.dropped
        if uploads:
            metadata[EVICTED_UPLOADS] = metadata.get(EVICTED_UPLOADS, 0) + uploads
        if self._flow.comment == self._remark:  # not one that somebody else has written
            self._flow.comment = self._remark = evicted_text(self._flow)


def is_upload_chunk(message: WebSocketMessage) -> bool:
    """Tell whether a message is a binary push of Phoenix's serializer V2 on the channel of an upload.

    Its head is a kind of 0, the lengths of join_ref, ref, topic and event in a byte each, and then these.
    """
    content = message.content
    if message.is_text or not message.from_client or len(content) < 5 or content[0] != 0:  # noqa: PLR2004 - see above
        return False
    return content.startswith(UPLOAD_TOPIC, 5 + content[1] + content[2])

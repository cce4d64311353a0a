"""Message histories: trims the messages on the flow of each relay, within its own limits and a shared budget.

Upload chunks are evicted first, then large messages, then all others; the oldest of each kind first. So an uploaded
file does not evict the events before it.
"""

from collections.abc import Callable, Iterator

from mitmproxy import http
from mitmproxy.websocket import WebSocketMessage

from livegate.logs.context import EVICTED_MESSAGES, EVICTED_UPLOADS, evicted_text
from livegate.settings import MessageHistoryLimits

KEPT_AFTER_CLOSE = MessageHistoryLimits.model_construct(messages=0, bytes=0)
"""Limits of a closed relay whose flow nothing will read."""
LARGE_DIVISOR = 16
"""A message is large above 1/16 of its history's bytes."""
UPLOAD_TOPIC = b"lvu:"
"""Prefix of the topics of LiveView's uploads (LiveView 0.15 and later)."""
SLACK_DIVISOR = 16
"""A full history frees 1/16 of its limits at once, so that not every message causes an eviction."""
MESSAGE_OVERHEAD_BYTES = 2048
"""Estimate per message, besides its content: mitmproxy's object, and the inspector's data about it."""


class HistoryBudget:
    """Memory budget shared by the histories of all open relays. Beyond it, each is trimmed to an equal share."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._histories: dict[MessageHistory, int] = {}
        """Each history's part of `used_bytes`."""

    def update(self, history: "MessageHistory") -> None:
        """Account for a changed history, and trim all of them when the budget is exceeded."""
        self.used_bytes += history.estimated_bytes - self._histories.get(history, 0)
        self._histories[history] = history.estimated_bytes
        if self.used_bytes > self.max_bytes:
            # 2/16 below an equal share, so that many messages fit in before the next eviction.
            share = self.max_bytes * (SLACK_DIVISOR - 2) // SLACK_DIVISOR // len(self._histories)
            for each in list(self._histories):
                each.trim_to(share)
                self.used_bytes += each.estimated_bytes - self._histories[each]
                self._histories[each] = each.estimated_bytes

    def remove(self, history: "MessageHistory") -> None:
        """Stop accounting for the history of a closed relay."""
        self.used_bytes -= self._histories.pop(history, 0)


class MessageHistory:
    """Bounded history in `flow.websocket.messages`, trimmed in place. The flow's comment counts evicted messages."""

    def __init__(
        self, flow: http.HTTPFlow, messages: list[WebSocketMessage], limits: MessageHistoryLimits, budget: HistoryBudget
    ) -> None:
        self._flow = flow
        self._comment = ""
        self.messages = messages
        self._max_messages = limits.messages
        self._max_bytes = limits.bytes
        self._budget = budget
        self._bytes = 0
        self.evicted = 0
        """Number of evicted messages."""

    @property
    def estimated_bytes(self) -> int:
        """Estimated memory of the messages."""
        return self._bytes + MESSAGE_OVERHEAD_BYTES * len(self.messages)

    def message_added(self, size: int) -> None:
        """Account for an appended message of `size` bytes whose hooks have finished."""
        self._bytes += size
        if self._bytes > self._max_bytes or len(self.messages) > self._max_messages:
            self._trim()
        self._budget.update(self)

    def release(self, limits: MessageHistoryLimits | None) -> None:
        """Leave the shared budget when the relay closes, and trim to `limits`, if given."""
        self._budget.remove(self)
        if limits is not None:
            self._max_messages, self._max_bytes = limits.messages, limits.bytes
            if self._bytes > self._max_bytes or len(self.messages) > self._max_messages:
                self._trim()

    def trim_to(self, most: int) -> None:
        """Evict messages until the estimated memory is at most `most` bytes."""
        self._evict(lambda count, size: size + MESSAGE_OVERHEAD_BYTES * count <= most)

    def _trim(self) -> None:
        messages = self._max_messages - self._max_messages // SLACK_DIVISOR
        most = self._max_bytes - self._max_bytes // SLACK_DIVISOR
        self._evict(lambda count, size: count <= messages and size <= most)

    def _evict(self, is_enough: Callable[[int, int], bool]) -> None:
        """Evict until `is_enough` accepts the number and the bytes of the remaining messages."""
        messages = self.messages
        count, size = len(messages), sum(len(message.content) for message in messages)
        evicted: set[int] = set()
        uploads = 0
        for index, is_upload in self._eviction_order():
            if is_enough(count, size):
                break
            evicted.add(index)
            count -= 1
            size -= len(messages[index].content)
            uploads += is_upload
        self._bytes = size
        if evicted:
            messages[:] = [message for index, message in enumerate(messages) if index not in evicted]
            self._record_evictions(len(evicted), uploads)

    def _eviction_order(self) -> Iterator[tuple[int, bool]]:
        """Yield the indexes of the messages in the order of eviction, and whether each is an upload chunk."""
        large, others = [], []
        for index, message in enumerate(self.messages):
            if is_upload_chunk(message):
                yield index, True
            elif len(message.content) > self._max_bytes // LARGE_DIVISOR:
                large.append(index)
            else:
                others.append(index)
        for index in (*large, *others):
            yield index, False

    def _record_evictions(self, count: int, uploads: int) -> None:
        """Write the number of evicted messages to the flow's metadata and comment."""
        self.evicted += count
        metadata = self._flow.metadata
        metadata[EVICTED_MESSAGES] = self.evicted
        if uploads:
            metadata[EVICTED_UPLOADS] = metadata.get(EVICTED_UPLOADS, 0) + uploads
        if self._flow.comment == self._comment:  # a comment that a user wrote stays
            self._flow.comment = self._comment = evicted_text(self._flow)


def is_upload_chunk(message: WebSocketMessage) -> bool:
    """Return whether a message is a binary push of Phoenix's serializer V2 on an upload's channel.

    It starts with kind 0 and the lengths of join_ref, ref, topic and event, one byte each; these four strings follow.
    """
    content = message.content
    if message.is_text or not message.from_client or len(content) < 5 or content[0] != 0:  # noqa: PLR2004 - see above
        return False
    return content.startswith(UPLOAD_TOPIC, 5 + content[1] + content[2])

"""The frames of LiveView sessions and the page at each, kept for a while, so that a person can go back to any of them.

Frames are kept as they came, as mitmproxy keeps them on its flows; whoever shows one takes its secrets out. A page
costs next to nothing: trees are never changed, a diff makes a new one that shares all but what it touched.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from livegate.inspect.frame_log.writer import frame_line
from livegate.phoenix.model import Outcome
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.phoenix.sessions.page import Page

MAX_FRAMES = 2000
"""Of one session."""
MAX_SESSION_BYTES = 8 * 1024 * 1024
MAX_EVICTED = 10_000
"""Sessions without a frame left of which it is known how many they had."""
OVERHEAD_BYTES = 2500
"""What a frame takes besides its data, about: its note, what it changed, and its part of the page."""


class RecordedFrame(Struct, gc=False):
    """A frame. Its line is made when somebody asks for it: of most frames nobody ever does."""

    note: FrameInfo
    outcome: Outcome | None
    """Of the note's event when the frame had come; later it may have another."""
    view: str | None
    """What the note's view was called then."""
    changes: Changes | None
    """What it changed on the page of its view."""
    page: Page | None
    """The page of the session when the frame had come."""
    data: bytes
    text: bool
    flow: str
    socket: str

    @property
    def line(self) -> dict[str, Any]:
        """As in the frame log, with the id of the frame's socket and the kind of push that it is or answers."""
        line = frame_line(self.note, self.flow)
        if self.note.from_client:
            line["ms"] = None
        push = self.note.push.kind if self.note.push is not None else None
        return line | {"outcome": self.outcome, "view": self.view, "socket": self.socket, "push": push}


@dataclass(slots=True)
class Recording:
    """The last frames of a session."""

    frames: deque[RecordedFrame] = field(default_factory=deque)
    first: int = 0
    """The number of the first that is kept; frames are numbered from 0 in the order of their coming."""
    size: int = 0

    @property
    def next_number(self) -> int:
        """The number that the next frame will have."""
        return self.first + len(self.frames)

    @property
    def page(self) -> Page | None:
        """The page after the last frame."""
        return self.frames[-1].page if self.frames else None

    def add(self, kept: RecordedFrame) -> int:
        """Keep a frame; the oldest go. Returns by how many bytes it grew."""
        before, frames = self.size, self.frames
        frames.append(kept)
        self.size += len(kept.data) + OVERHEAD_BYTES
        while len(frames) > MAX_FRAMES or (self.size > MAX_SESSION_BYTES and len(frames) > 1):
            self.evict_oldest()
        return self.size - before

    def evict_oldest(self) -> int:
        """Forget the oldest frame. Returns how many bytes it took."""
        size = len(self.frames.popleft().data) + OVERHEAD_BYTES
        self.size -= size
        self.first += 1
        return size

    def frame(self, number: int) -> RecordedFrame | None:
        """A frame by its number; None when it is no longer kept, or not yet there."""
        index = number - self.first
        return self.frames[index] if 0 <= index < len(self.frames) else None

    def line(self, number: int) -> dict[str, Any] | None:
        """What is told of a frame; None as with `at`."""
        kept = self.frame(number)
        return {**kept.line, "n": number} if kept is not None else None


class RecordingStore:
    """Of all sessions; the frames of those that were quiet longest go first, from their oldest on."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evicted = 0
        """Sessions whose last frame had to go."""
        self._sessions: OrderedDict[int, Recording] = OrderedDict()
        self._next_numbers: OrderedDict[int, int] = OrderedDict()
        """Of sessions whose frames had to go: a number that a frame has had, no other frame gets."""
        self._size = 0

    def get_or_create(self, number: int) -> Recording:
        """The frames of a session that has one more now."""
        recording = self._sessions.get(number)
        if recording is None:
            recording = self._sessions[number] = Recording(first=self._next_numbers.pop(number, 0))
        else:
            self._sessions.move_to_end(number)
        return recording

    def move(self, number: int, to: int) -> None:
        """Add the frames of one session to those of another."""
        moved = self._sessions.pop(number, None)
        if moved is None:
            return
        self._next_numbers[number] = moved.next_number
        self._size -= moved.size
        recording = self.get_or_create(to)
        for kept in moved.frames:
            self.add_bytes(recording.add(kept))

    def add_bytes(self, size: int) -> None:
        """One of them takes so many bytes more; when all take too much, frames go."""
        self._size += size
        while self._size > self.max_bytes and self._sessions:
            number, quietest = next(iter(self._sessions.items()))
            self._size -= quietest.evict_oldest()
            if not quietest.frames:
                del self._sessions[number]
                self._next_numbers[number] = quietest.next_number
                self.evicted += 1
                while len(self._next_numbers) > MAX_EVICTED:
                    self._next_numbers.popitem(last=False)

    def get(self, number: int) -> Recording | None:
        """The frames of a session."""
        return self._sessions.get(number)

    def frame_range(self, number: int) -> tuple[int, int]:
        """The number of a session's first kept frame, and that of its next one; the same when none is kept."""
        recording = self._sessions.get(number)
        if recording is not None:
            return recording.first, recording.next_number
        return (self._next_numbers.get(number, 0),) * 2

"""Recorded frames of LiveView sessions and the page after each, for the timeline of the admin page.

Frames are kept unredacted, as mitmproxy keeps them on its flows; the admin API redacts them. A page costs little,
because trees are persistent: a diff makes a new tree that shares all but the changed nodes.
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
"""Frames per session; when exceeded, the oldest is evicted."""
MAX_SESSION_BYTES = 8 * 1024 * 1024
MAX_EVICTED = 10_000
"""Sessions whose frames were all evicted and whose next frame number is remembered."""
OVERHEAD_BYTES = 2500
"""Estimated bytes per frame besides its data: its info, its changes, and its part of the page."""


class RecordedFrame(Struct, gc=False):
    """Recorded frame. Its line is made on request, because most frames are never looked at."""

    note: FrameInfo
    outcome: Outcome | None
    """Outcome of the push when the frame was recorded; it may change later."""
    view: str | None
    """Label of the view when the frame was recorded."""
    changes: Changes | None
    """Changes to the page of its view."""
    page: Page | None
    """Page of the session after the frame."""
    data: bytes
    text: bool
    flow: str
    socket: str

    @property
    def line(self) -> dict[str, Any]:
        """Return the line of the frame log, with the id of the socket and the kind of the push."""
        line = frame_line(self.note, self.flow)
        if self.note.from_client:
            line["ms"] = None
        push = self.note.push.kind if self.note.push is not None else None
        return line | {"outcome": self.outcome, "view": self.view, "socket": self.socket, "push": push}


@dataclass(slots=True)
class Recording:
    """Latest frames of a session."""

    frames: deque[RecordedFrame] = field(default_factory=deque)
    first: int = 0
    """Number of the oldest frame; frames are numbered from 0."""
    size: int = 0

    @property
    def next_number(self) -> int:
        """Number of the next frame."""
        return self.first + len(self.frames)

    @property
    def page(self) -> Page | None:
        """Page after the last frame."""
        return self.frames[-1].page if self.frames else None

    def add(self, recorded: RecordedFrame) -> int:
        """Add a frame and evict the oldest beyond the limits. Return the change in bytes."""
        before, frames = self.size, self.frames
        frames.append(recorded)
        self.size += len(recorded.data) + OVERHEAD_BYTES
        while len(frames) > MAX_FRAMES or (self.size > MAX_SESSION_BYTES and len(frames) > 1):
            self.evict_oldest()
        return self.size - before

    def evict_oldest(self) -> int:
        """Evict the oldest frame. Return its size in bytes."""
        size = len(self.frames.popleft().data) + OVERHEAD_BYTES
        self.size -= size
        self.first += 1
        return size

    def frame(self, number: int) -> RecordedFrame | None:
        """Return a frame by its number; None if it was evicted or does not exist yet."""
        index = number - self.first
        return self.frames[index] if 0 <= index < len(self.frames) else None

    def line(self, number: int) -> dict[str, Any] | None:
        """Return the line of a frame, with its number; None as with `frame`."""
        recorded = self.frame(number)
        return {**recorded.line, "n": number} if recorded is not None else None


class RecordingStore:
    """Frames of all sessions within a memory budget. The least recently active session loses its oldest first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.evicted = 0
        """Sessions whose frames were all evicted."""
        self._sessions: OrderedDict[int, Recording] = OrderedDict()
        self._next_numbers: OrderedDict[int, int] = OrderedDict()
        """Next frame number of sessions whose frames were all evicted. Frame numbers are never reused."""
        self._size = 0

    def get_or_create(self, number: int) -> Recording:
        """Return the recording of a session as the most recently active one; create it if needed."""
        recording = self._sessions.get(number)
        if recording is None:
            recording = self._sessions[number] = Recording(first=self._next_numbers.pop(number, 0))
        else:
            self._sessions.move_to_end(number)
        return recording

    def move(self, number: int, to: int) -> None:
        """Append the frames of one session to those of another."""
        moved = self._sessions.pop(number, None)
        if moved is None:
            return
        self._next_numbers[number] = moved.next_number
        self._size -= moved.size
        recording = self.get_or_create(to)
        for recorded in moved.frames:
            self.add_bytes(recording.add(recorded))

    def add_bytes(self, size: int) -> None:
        """Add to the total size; evict frames beyond the budget."""
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
        """Return the recording of a session."""
        return self._sessions.get(number)

    def frame_range(self, number: int) -> tuple[int, int]:
        """Return the numbers of a session's oldest frame and of its next one; equal if there is no frame."""
        recording = self._sessions.get(number)
        if recording is not None:
            return recording.first, recording.next_number
        return (self._next_numbers.get(number, 0),) * 2

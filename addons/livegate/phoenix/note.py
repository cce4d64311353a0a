"""What one frame meant, and that as a sentence for a person."""

from msgspec import Struct

from livegate.phoenix.changes import Changes
from livegate.phoenix.frames import Frame, NotPhoenix
from livegate.phoenix.model import Event, Session, View

MAX_NAME = 80


class Note(Struct, gc=False):
    """One frame and its place in a session. Times in seconds, sizes in bytes."""

    what: str
    """heartbeat, join, joined, redirected, refused, event, reply, diff, push, upload, leave, crash, close, broken."""
    at: float
    from_client: bool
    size: int
    frame: Frame | NotPhoenix | None
    """None once it was `shorten`ed."""
    session: Session | None = None
    view: View | None = None
    event: Event | None = None
    """The push that this frame is, or that it answers."""
    changes: Changes | None = None
    diff_size: int = 0
    detail: str = ""
    sentence: str = ""
    """One line that says it all, as things stood when the frame came."""

    def shorten(self) -> None:
        """Keep the sentence, and let go of what it was made from."""
        self.frame = self.changes = None


def sentence_of(note: Note) -> str:
    """A note as a sentence."""
    return _SENTENCES.get(note.what, _push)(note)


def size_text(size: int) -> str:
    """Bytes as a person reads them: 34 B, 4.2 KiB."""
    if size < 1024:
        return f"{size} B"
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / 1024 / 1024:.1f} MiB"


def seconds_text(seconds: float | None) -> str:
    """A duration as a person reads it: 0.42 ms, 3.1 ms, 700 ms, 2.5 s."""
    if seconds is None:
        return "?"
    ms = seconds * 1000
    if ms < 1:
        return f"{ms:.2f} ms"
    if ms < 100:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """A name from outside in a line of ours: printable, and not longer than a name is."""
    cut = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode()


def diff_text(note: Note) -> str:
    """The diff of a frame in a few words; empty when there is none."""
    if not note.diff_size:
        return ""
    changes = note.changes
    if changes is None:
        return f"diff {size_text(note.diff_size)}"
    count = len(changes.paths) + changes.more
    parts = [f"{count} path{'' if count == 1 else 's'}"] if count else []
    if changes.stream_inserts:
        parts.append(f"{len(changes.stream_inserts)} into a stream")
    if changes.stream_deletes:
        parts.append(f"{len(changes.stream_deletes)} out of a stream")
    parts += [f"pushed {shortened(name)!r}" for name, _ in changes.events[:3]]
    if changes.title is not None:
        parts.append("title")
    return f"diff {size_text(note.diff_size)}: {', '.join(parts) or 'no change'}"


def _label(note: Note) -> str:
    return shortened(note.view.label) if note.view is not None else "?"


def _ref(note: Note) -> str:
    return f" (#{shortened(note.frame.ref)})" if isinstance(note.frame, Frame) and note.frame.ref else ""


def _heartbeat(note: Note) -> str:
    if note.from_client:
        return "heartbeat"
    trip = note.event.round_trip if note.event is not None else None
    return f"heartbeat answered after {seconds_text(trip)}" if trip is not None else "heartbeat answered"


def _join(note: Note) -> str:
    again = "rejoin" if note.view is not None and note.view.rejoins else "join"
    return f"{again} {_place(note)}{_ref(note)}"


def _place(note: Note) -> str:
    view = note.view
    if view is None:
        return "?"
    path = f" {shortened(view.path)}" if view.path and view.module else ""
    return f"{shortened(view.label)}{path}"


def _joined(note: Note) -> str:
    view = note.view
    version = f", LiveView {shortened(view.version)}" if view is not None and view.version else ""
    verb = "rejoined" if view is not None and view.rejoins else "joined"
    trip = note.event.round_trip if note.event is not None else None
    after = f" after {seconds_text(trip)}" if trip is not None else ""
    return f"{verb} {_place(note)}{version}, {size_text(note.size)}{after}"


def _refused(note: Note) -> str:
    return f"join of {_place(note)} refused: {shortened(note.detail)}"


def _redirected(note: Note) -> str:
    return f"join of {_place(note)} answered with a {shortened(note.detail)}"


def _event(note: Note) -> str:
    event = note.event
    if event is None:
        return "event"
    verb = shortened(event.type or event.kind)
    return f'{verb} "{shortened(event.name)}" on {_label(note)}{_ref(note)}'


def _reply(note: Note) -> str:
    event = note.event
    if event is None:
        return "reply that nobody waits for"
    parts = [f"reply {event.outcome} to #{shortened(event.ref or '?')} after {seconds_text(event.round_trip)}"]
    diff = diff_text(note)
    if diff:
        parts.append(diff)
    if note.detail:
        parts.append(shortened(note.detail))
    return ", ".join(parts)


def _diff(note: Note) -> str:
    return f"{_label(note)} sends {diff_text(note) or 'an empty diff'}"


def _push(note: Note) -> str:
    name = shortened(note.frame.event) if isinstance(note.frame, Frame) else "?"
    detail = f": {shortened(note.detail)}" if note.detail else ""
    side = "client" if note.from_client else "server"
    return f'{side} pushes "{name}" on {_label(note)}{_ref(note)}{detail}'


def _upload(note: Note) -> str:
    return f"upload: {shortened(note.detail)}{_ref(note)}"


def _leave(note: Note) -> str:
    return f"leaves {_label(note)}{_ref(note)}"


def _crash(note: Note) -> str:
    lost = f", {note.detail} without an answer" if note.detail else ""
    return f"CRASH of {_label(note)}{lost}"


def _close(note: Note) -> str:
    return f"{_label(note)} closed by the server"


def _broken(note: Note) -> str:
    reason = note.frame.reason if isinstance(note.frame, NotPhoenix) else ""
    return f"not a Phoenix frame: {reason}"


_SENTENCES = {
    "heartbeat": _heartbeat,
    "join": _join,
    "joined": _joined,
    "refused": _refused,
    "redirected": _redirected,
    "event": _event,
    "reply": _reply,
    "diff": _diff,
    "push": _push,
    "upload": _upload,
    "leave": _leave,
    "crash": _crash,
    "close": _close,
    "broken": _broken,
}

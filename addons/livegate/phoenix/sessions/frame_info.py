"""What one frame meant, and that as a sentence for a person."""

from collections.abc import Collection

from msgspec import Struct

from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.frames import Frame, NotPhoenix
from livegate.phoenix.model import Event, Session, View
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

MAX_WHO = 5
"""Names of those present in one sentence."""


class Note(Struct, gc=False):
    """One frame and its place in a session. Times in seconds, sizes in bytes."""

    what: str
    """heartbeat, join, joined, redirected, refused, event, reply, diff, push, upload, leave, crash, close, outdated,
    other, broken."""
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
    earlier: bool = False
    """Whether it is of an earlier join of its topic, which has been left or joined anew since."""
    asked: bool = False
    """Of a close: whether the client has asked for it."""
    recovers: bool = False
    """Of an event: whether it is a form that the client sends again after a rejoin."""
    sentence: str = ""
    """One line that says it all, as things stood when the frame came."""

    def shorten(self) -> None:
        """Keep the sentence, and let go of what it was made from."""
        self.frame = self.changes = None


def sentence_of(note: Note) -> str:
    """A note as a sentence."""
    return _SENTENCES.get(note.what, _push)(note)


def diff_text(note: Note) -> str:
    """The diff of a frame in a few words; empty when there is none."""
    if not note.diff_size:
        return ""
    changes = note.changes
    if changes is None:
        return f"diff {size_text(note.diff_size)}"
    count = len(changes.paths) + changes.more
    parts = [f"{count} path{'' if count == 1 else 's'}"] if count else []
    streamed = (
        ("inserted", len(changes.stream_inserts)),
        ("updated", len(changes.stream_updates)),
        ("deleted", len(changes.stream_deletes)),
        ("dropped by a limit", changes.stream_limited),
    )
    if any(many for _, many in streamed):
        parts.append(f"stream: {', '.join(f'{many} {what}' for what, many in streamed if many)}")
    if changes.stream_resets:
        parts.append("stream reset")
    parts += [f"pushed {shortened(name)!r}" for name, _ in changes.events[:3]]
    if changes.title is not None:
        parts.append("title")
    return f"diff {size_text(note.diff_size)}: {', '.join(parts) or 'no change'}"


def presence_text(event: str, payload: dict[str, object]) -> str:
    """Who is there, or who came and went, by the keys that the app tracks them under."""
    if event == "presence_state":
        return f"{len(payload)} present{_who(payload)}"
    joins, leaves = (value if isinstance(value := payload.get(key), dict) else {} for key in ("joins", "leaves"))
    updated = joins.keys() & leaves.keys()  # the same key with new metadata, or one of several connections
    came, went = joins.keys() - updated, leaves.keys() - updated
    groups = (("joined:", came), ("left:", went), ("updated:", updated))
    parts = [f"{verb} {', '.join(_names(keys))}" for verb, keys in groups if keys]
    return ", ".join(parts) or "nobody came or went"


def _who(keys: Collection[str]) -> str:
    return f": {', '.join(_names(keys))}" if keys else ""


def _names(keys: Collection[str]) -> list[str]:
    ordered = sorted(keys)
    more = [f"and {len(ordered) - MAX_WHO} more"] if len(ordered) > MAX_WHO else []
    return [*map(shortened, ordered[:MAX_WHO]), *more]


def _label(note: Note) -> str:
    if note.view is not None:
        return shortened(note.view.label)
    topic = note.frame.topic if isinstance(note.frame, Frame) else ""
    return shortened(topic) if topic not in ("", LIVE_TOPIC) else "a view that was never joined"


def _ref(note: Note) -> str:
    return f" (#{shortened(note.frame.ref)})" if isinstance(note.frame, Frame) and note.frame.ref else ""


def _trip(note: Note) -> str:
    trip = note.event.round_trip if note.event is not None else None
    return f" after {seconds_text(trip)}" if trip is not None else ""


def _heartbeat(note: Note) -> str:
    return "heartbeat" if note.from_client else f"heartbeat answered{_trip(note)}"


def _join(note: Note) -> str:
    again = "rejoin" if note.view is not None and note.view.rejoins else "join"
    return f"{again} {_place(note)}{_ref(note)}"


def _place(note: Note) -> str:
    view = note.view
    if view is None:
        return _label(note)
    path = f" {shortened(view.path)}" if view.path and view.module else ""
    return f"{shortened(view.label)}{path}"


def _joined(note: Note) -> str:
    view = note.view
    version = f", LiveView {shortened(view.version)}" if view is not None and view.version else ""
    verb = "rejoined" if view is not None and view.rejoins else "joined"
    late = ", which was joined anew since: the client drops this" if note.earlier else ""
    return f"{verb} {_place(note)}{version}, {size_text(note.size)}{_trip(note)}{late}"


def _redirected(note: Note) -> str:
    return f"join of {_place(note)} answered with a {shortened(note.detail)}"


def _refused(note: Note) -> str:
    return f"join of {_place(note)} refused: {shortened(note.detail)}"


def _event(note: Note) -> str:
    event = note.event
    if event is None:
        return "event"
    name = note.detail if event.kind == "patch" and note.detail else event.name
    verb = shortened(event.type or event.kind)
    recovered = ", recovered after the rejoin" if note.recovers else ""
    return f'{verb} "{shortened(name)}" on {_label(note)}{_ref(note)}{recovered}'


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
    if note.earlier and event.kind != "leave":
        parts.append("of an earlier join: the client drops it")
    return ", ".join(parts)


def _diff(note: Note) -> str:
    return f"{_label(note)} sends {diff_text(note) or 'an empty diff'}"


def _push(note: Note) -> str:
    name = shortened(note.frame.event) if isinstance(note.frame, Frame) else "?"
    detail = f": {shortened(note.detail)}" if note.detail else ""
    side = "client" if note.from_client else "server"
    return f'{side} pushes "{name}" on {_label(note)}{_ref(note)}{detail}'


def _upload(note: Note) -> str:
    if note.from_client or note.event is None:
        return f"upload: {shortened(note.detail)}{_ref(note)}"
    event = note.event
    what = {"join": "accepted", "chunk": "chunk stored", "leave": "left"}.get(event.kind, "answered")
    outcome = what if event.outcome == "ok" else f"refused ({shortened(note.detail)})" if note.detail else "refused"
    return f"upload of {_label(note)}: {outcome}{_trip(note)}"


def _leave(note: Note) -> str:
    return f"leaves {_label(note)}{_ref(note)}"


def _crash(note: Note) -> str:
    lost = f", {note.detail} without an answer" if note.detail else ""
    return f"CRASH of {_label(note)}{lost}"


def _close(note: Note) -> str:
    if isinstance(note.frame, Frame) and note.frame.topic.startswith(UPLOAD_TOPIC):
        return f"upload of {_label(note)} is over"
    if note.earlier:
        return f"{_label(note)} closed (an earlier join)"
    return f"{_label(note)} was left" if note.asked else f"{_label(note)} closed by the server"


def _outdated(note: Note) -> str:
    frame = note.frame
    join = f" (join_ref {shortened(frame.join_ref)})" if isinstance(frame, Frame) and frame.join_ref else ""
    other = "server" if note.from_client else "client"
    return f"{note.detail} of an earlier join of {_label(note)}{join}: the {other} drops it"


def _broken(note: Note) -> str:
    reason = note.frame.reason if isinstance(note.frame, NotPhoenix) else ""
    return f"not a Phoenix frame: {reason}"


_SENTENCES = {
    "heartbeat": _heartbeat,
    "join": _join,
    "joined": _joined,
    "redirected": _redirected,
    "refused": _refused,
    "event": _event,
    "reply": _reply,
    "diff": _diff,
    "push": _push,
    "upload": _upload,
    "leave": _leave,
    "crash": _crash,
    "close": _close,
    "outdated": _outdated,
    "broken": _broken,
}

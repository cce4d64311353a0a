"""What one frame meant, and that as a sentence for a person."""

from collections.abc import Collection

from msgspec import Struct

from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.frames import Frame, NotPhoenix
from livegate.phoenix.model import Push, Session, View
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

MAX_PRESENT_NAMED = 5
"""Names of those present in one sentence."""


class FrameInfo(Struct, gc=False):
    """One frame and its place in a session. Times in seconds, sizes in bytes."""

    kind: str
    """heartbeat, join, joined, redirected, refused, event, reply, diff, push, upload, leave, crash, close, outdated,
    other, broken."""
    at: float
    from_client: bool
    size: int
    frame: Frame | NotPhoenix | None
    """None after `drop_details`."""
    session: Session | None = None
    view: View | None = None
    push: Push | None = None
    """The push that this frame is, or that it answers."""
    changes: Changes | None = None
    diff_size: int = 0
    detail: str = ""
    of_earlier_join: bool = False
    """Whether it is of an earlier join of its topic, which has been left or joined anew since."""
    requested: bool = False
    """Of a close: whether the client has asked for it."""
    is_form_recovery: bool = False
    """Of an event: whether it is a form that the client sends again after a rejoin."""
    summary: str = ""
    """One line that says it all, as things stood when the frame came."""

    def drop_details(self) -> None:
        """Keep the sentence, and let go of what it was made from."""
        self.frame = self.changes = None


def summarize(note: FrameInfo) -> str:
    """A note as a sentence."""
    return _SENTENCES.get(note.kind, _push)(note)


def diff_text(note: FrameInfo) -> str:
    """The diff of a frame in a few words; empty when there is none."""
    if not note.diff_size:
        return ""
    changes = note.changes
    if changes is None:
        return f"diff {size_text(note.diff_size)}"
    count = len(changes.paths) + changes.paths_omitted
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
    more = [f"and {len(ordered) - MAX_PRESENT_NAMED} more"] if len(ordered) > MAX_PRESENT_NAMED else []
    return [*map(shortened, ordered[:MAX_PRESENT_NAMED]), *more]


def _label(note: FrameInfo) -> str:
    if note.view is not None:
        return shortened(note.view.label)
    topic = note.frame.topic if isinstance(note.frame, Frame) else ""
    return shortened(topic) if topic not in ("", LIVE_TOPIC) else "a view that was never joined"


def _ref(note: FrameInfo) -> str:
    return f" (#{shortened(note.frame.ref)})" if isinstance(note.frame, Frame) and note.frame.ref else ""


def _trip(note: FrameInfo) -> str:
    trip = note.push.round_trip if note.push is not None else None
    return f" after {seconds_text(trip)}" if trip is not None else ""


def _heartbeat(note: FrameInfo) -> str:
    return "heartbeat" if note.from_client else f"heartbeat answered{_trip(note)}"


def _join(note: FrameInfo) -> str:
    again = "rejoin" if note.view is not None and note.view.rejoins else "join"
    return f"{again} {_place(note)}{_ref(note)}"


def _place(note: FrameInfo) -> str:
    view = note.view
    if view is None:
        return _label(note)
    path = f" {shortened(view.path)}" if view.path and view.module else ""
    return f"{shortened(view.label)}{path}"


def _joined(note: FrameInfo) -> str:
    view = note.view
    version = f", LiveView {shortened(view.version)}" if view is not None and view.version else ""
    verb = "rejoined" if view is not None and view.rejoins else "joined"
    late = ", which was joined anew since: the client drops this" if note.of_earlier_join else ""
    return f"{verb} {_place(note)}{version}, {size_text(note.size)}{_trip(note)}{late}"


def _redirected(note: FrameInfo) -> str:
    return f"join of {_place(note)} answered with a {shortened(note.detail)}"


def _refused(note: FrameInfo) -> str:
    return f"join of {_place(note)} refused: {shortened(note.detail)}"


def _event(note: FrameInfo) -> str:
    event = note.push
    if event is None:
        return "event"
    name = note.detail if event.kind == "patch" and note.detail else event.name
    verb = shortened(event.type or event.kind)
    recovered = ", recovered after the rejoin" if note.is_form_recovery else ""
    return f'{verb} "{shortened(name)}" on {_label(note)}{_ref(note)}{recovered}'


def _reply(note: FrameInfo) -> str:
    event = note.push
    if event is None:
        return "reply that nobody waits for"
    parts = [f"reply {event.outcome} to #{shortened(event.ref or '?')} after {seconds_text(event.round_trip)}"]
    diff = diff_text(note)
    if diff:
        parts.append(diff)
    if note.detail:
        parts.append(shortened(note.detail))
    if note.of_earlier_join and event.kind != "leave":
        parts.append("of an earlier join: the client drops it")
    return ", ".join(parts)


def _diff(note: FrameInfo) -> str:
    return f"{_label(note)} sends {diff_text(note) or 'an empty diff'}"


def _push(note: FrameInfo) -> str:
    name = shortened(note.frame.event) if isinstance(note.frame, Frame) else "?"
    detail = f": {shortened(note.detail)}" if note.detail else ""
    side = "client" if note.from_client else "server"
    return f'{side} pushes "{name}" on {_label(note)}{_ref(note)}{detail}'


def _upload(note: FrameInfo) -> str:
    if note.from_client or note.push is None:
        return f"upload: {shortened(note.detail)}{_ref(note)}"
    event = note.push
    what = {"join": "accepted", "chunk": "chunk stored", "leave": "left"}.get(event.kind, "answered")
    outcome = what if event.outcome == "ok" else f"refused ({shortened(note.detail)})" if note.detail else "refused"
    return f"upload of {_label(note)}: {outcome}{_trip(note)}"


def _leave(note: FrameInfo) -> str:
    return f"leaves {_label(note)}{_ref(note)}"


def _crash(note: FrameInfo) -> str:
    lost = f", {note.detail} without an answer" if note.detail else ""
    return f"CRASH of {_label(note)}{lost}"


def _close(note: FrameInfo) -> str:
    if isinstance(note.frame, Frame) and note.frame.topic.startswith(UPLOAD_TOPIC):
        return f"upload of {_label(note)} is over"
    if note.of_earlier_join:
        return f"{_label(note)} closed (an earlier join)"
    return f"{_label(note)} was left" if note.requested else f"{_label(note)} closed by the server"


def _outdated(note: FrameInfo) -> str:
    frame = note.frame
    join = f" (join_ref {shortened(frame.join_ref)})" if isinstance(frame, Frame) and frame.join_ref else ""
    other = "server" if note.from_client else "client"
    return f"{note.detail} of an earlier join of {_label(note)}{join}: the {other} drops it"


def _broken(note: FrameInfo) -> str:
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

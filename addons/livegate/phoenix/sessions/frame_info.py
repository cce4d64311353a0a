"""Meaning of one frame, and its one-line summary for the console, the frame log and the admin page."""

from collections.abc import Collection

from msgspec import Struct

from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.frames import Frame, NotPhoenix
from livegate.phoenix.model import Push, Session, View
from livegate.phoenix.rendered.changes import Changes
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

MAX_PRESENT_NAMED = 5
"""Presences named in one summary; further ones are counted."""


class FrameInfo(Struct, gc=False):
    """One frame in the context of its session. Times in seconds, sizes in bytes."""

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
    """The push that this frame carries, or that it replies to."""
    changes: Changes | None = None
    diff_size: int = 0
    detail: str = ""
    of_earlier_join: bool = False
    """Whether it belongs to an earlier join of its topic, so that the other end drops it."""
    requested: bool = False
    """Whether a close follows a leave of the client."""
    is_form_recovery: bool = False
    """Whether an event is a form that the client sends again after a rejoin (LiveView's form recovery)."""
    summary: str = ""
    """One line for people, written when the frame came."""

    def drop_details(self) -> None:
        """Drop the decoded frame and the changes, which take most memory; keep the summary."""
        self.frame = self.changes = None


def summarize(info: FrameInfo) -> str:
    """Return the summary of a frame."""
    return _SUMMARIES.get(info.kind, _push)(info)


def diff_text(info: FrameInfo) -> str:
    """Return a summary of a frame's diff; empty if it has none."""
    if not info.diff_size:
        return ""
    changes = info.changes
    if changes is None:
        return f"diff {size_text(info.diff_size)}"
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
    return f"diff {size_text(info.diff_size)}: {', '.join(parts) or 'no change'}"


def presence_text(event: str, payload: dict[str, object]) -> str:
    """Return a summary of presences by the keys that the app tracks them under (Phoenix.Presence)."""
    if event == "presence_state":
        return f"{len(payload)} present{_colon_names(payload)}"
    joins, leaves = (value if isinstance(value := payload.get(key), dict) else {} for key in ("joins", "leaves"))
    updated = joins.keys() & leaves.keys()  # the same key with new metadata, or one of several connections
    came, went = joins.keys() - updated, leaves.keys() - updated
    groups = (("joined:", came), ("left:", went), ("updated:", updated))
    parts = [f"{verb} {', '.join(_names(keys))}" for verb, keys in groups if keys]
    return ", ".join(parts) or "nobody came or went"


def _colon_names(keys: Collection[str]) -> str:
    return f": {', '.join(_names(keys))}" if keys else ""


def _names(keys: Collection[str]) -> list[str]:
    ordered = sorted(keys)
    more = [f"and {len(ordered) - MAX_PRESENT_NAMED} more"] if len(ordered) > MAX_PRESENT_NAMED else []
    return [*map(shortened, ordered[:MAX_PRESENT_NAMED]), *more]


def _label(info: FrameInfo) -> str:
    if info.view is not None:
        return shortened(info.view.label)
    topic = info.frame.topic if isinstance(info.frame, Frame) else ""
    return shortened(topic) if topic not in ("", LIVE_TOPIC) else "a view that was never joined"


def _ref(info: FrameInfo) -> str:
    return f" (#{shortened(info.frame.ref)})" if isinstance(info.frame, Frame) and info.frame.ref else ""


def _after(info: FrameInfo) -> str:
    trip = info.push.round_trip if info.push is not None else None
    return f" after {seconds_text(trip)}" if trip is not None else ""


def _heartbeat(info: FrameInfo) -> str:
    return "heartbeat" if info.from_client else f"heartbeat reply{_after(info)}"


def _join(info: FrameInfo) -> str:
    again = "rejoin" if info.view is not None and info.view.rejoins else "join"
    return f"{again} {_place(info)}{_ref(info)}"


def _place(info: FrameInfo) -> str:
    view = info.view
    if view is None:
        return _label(info)
    path = f" {shortened(view.path)}" if view.path and view.module else ""
    return f"{shortened(view.label)}{path}"


def _joined(info: FrameInfo) -> str:
    view = info.view
    version = f", LiveView {shortened(view.version)}" if view is not None and view.version else ""
    verb = "rejoined" if view is not None and view.rejoins else "joined"
    late = ", of an earlier join: the client drops it" if info.of_earlier_join else ""
    return f"{verb} {_place(info)}{version}, {size_text(info.size)}{_after(info)}{late}"


def _redirected(info: FrameInfo) -> str:
    return f"join of {_place(info)} got a {shortened(info.detail)}"


def _refused(info: FrameInfo) -> str:
    return f"join of {_place(info)} refused: {shortened(info.detail)}"


def _event(info: FrameInfo) -> str:
    push = info.push
    if push is None:
        return "event"
    name = info.detail if push.kind == "patch" and info.detail else push.name
    verb = shortened(push.type or push.kind)
    recovered = ", recovered after the rejoin" if info.is_form_recovery else ""
    return f'{verb} "{shortened(name)}" on {_label(info)}{_ref(info)}{recovered}'


def _reply(info: FrameInfo) -> str:
    push = info.push
    if push is None:
        return "reply without a pending push"
    parts = [f"reply {push.outcome} to #{shortened(push.ref or '?')} after {seconds_text(push.round_trip)}"]
    diff = diff_text(info)
    if diff:
        parts.append(diff)
    if info.detail:
        parts.append(shortened(info.detail))
    if info.of_earlier_join and push.kind != "leave":
        parts.append("of an earlier join: the client drops it")
    return ", ".join(parts)


def _diff(info: FrameInfo) -> str:
    return f"{_label(info)} sends {diff_text(info) or 'an empty diff'}"


def _push(info: FrameInfo) -> str:
    name = shortened(info.frame.event) if isinstance(info.frame, Frame) else "?"
    detail = f": {shortened(info.detail)}" if info.detail else ""
    side = "client" if info.from_client else "server"
    return f'{side} pushes "{name}" on {_label(info)}{_ref(info)}{detail}'


def _upload(info: FrameInfo) -> str:
    if info.from_client or info.push is None:
        return f"upload: {shortened(info.detail)}{_ref(info)}"
    push = info.push
    what = {"join": "accepted", "chunk": "chunk stored", "leave": "left"}.get(push.kind, "replied to")
    outcome = what if push.outcome == "ok" else f"refused ({shortened(info.detail)})" if info.detail else "refused"
    return f"upload of {_label(info)}: {outcome}{_after(info)}"


def _leave(info: FrameInfo) -> str:
    return f"leaves {_label(info)}{_ref(info)}"


def _crash(info: FrameInfo) -> str:
    lost = f", {info.detail} without a reply" if info.detail else ""
    return f"CRASH of {_label(info)}{lost}"


def _close(info: FrameInfo) -> str:
    if isinstance(info.frame, Frame) and info.frame.topic.startswith(UPLOAD_TOPIC):
        return f"upload of {_label(info)} closed"
    if info.of_earlier_join:
        return f"{_label(info)} closed (an earlier join)"
    return f"{_label(info)} was left" if info.requested else f"{_label(info)} closed by the server"


def _outdated(info: FrameInfo) -> str:
    frame = info.frame
    join = f" (join_ref {shortened(frame.join_ref)})" if isinstance(frame, Frame) and frame.join_ref else ""
    other = "server" if info.from_client else "client"
    return f"{info.detail} of an earlier join of {_label(info)}{join}: the {other} drops it"


def _broken(info: FrameInfo) -> str:
    reason = info.frame.reason if isinstance(info.frame, NotPhoenix) else ""
    return f"not a Phoenix frame: {reason}"


_SUMMARIES = {
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

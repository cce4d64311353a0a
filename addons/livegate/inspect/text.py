"""Frames and sockets as text, for the content view, comments, the terminal and commands."""

import json
import time

from livegate.inspect.markers import EMOJI, marker_for
from livegate.phoenix.formatting import seconds_text, shortened, size_text
from livegate.phoenix.frames import Frame
from livegate.phoenix.model import Session, SocketInfo, percentile
from livegate.phoenix.rendered.changes import Changes, json_text, value_text, wire_value
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor

MAX_LINES = 60
"""Changes of one frame that are shown. Beyond, their number is shown."""
MAX_HEX_BYTES = 64
"""Bytes of a binary frame that are shown."""
MAX_RAW_CHARACTERS = 64 * 1024
"""Characters of a text frame that are shown."""


def changes_text(changes: Changes, redactor: Redactor) -> list[str]:
    """Return the changes of a diff as lines: each path with its old and new value, then streams, title and events."""
    lines = []
    for change in changes.paths[:MAX_LINES]:
        old, new = (value_text(redactor.json(wire_value(value))) for value in (change.old, change.new))
        was = f"{old} → " if change.old is not None else ""
        lines.append(f"  {change.path_text or 'page'}: {was}{new}  ({size_text(change.size)})")
    omitted = len(changes.paths) - MAX_LINES + changes.paths_omitted
    if omitted > 0:
        lines.append(f"  … and {omitted} more")
    if changes.stream_resets:
        lines.append("  stream reset")
    lines += [f"  stream + {shortened(id_)}" for id_ in changes.stream_inserts[:20]]
    lines += [f"  stream ~ {shortened(id_)} updated" for id_ in changes.stream_updates[:20]]
    lines += [f"  stream - {shortened(id_)}" for id_ in changes.stream_deletes[:20]]
    if changes.stream_limited:
        lines.append(f"  stream: a limit has dropped {changes.stream_limited}")
    if changes.title is not None:
        lines.append(f"  title: {value_text(redactor.string(changes.title))}")
    for name, payload in changes.events[:20]:
        lines.append(f"  event {shortened(name)!r}: {json_text(redactor.json(payload))}")
    if changes.reply is not None:
        lines.append(f"  reply to the hook: {json_text(redactor.json(changes.reply))}")
    return lines


def raw_text(data: bytes, *, text: bool, redactor: Redactor) -> str:
    """Return the redacted frame, or a hex dump of a binary one."""
    if not text:
        more = " …" if len(data) > MAX_HEX_BYTES else ""
        return f"{len(data)} bytes: {data[:MAX_HEX_BYTES].hex(' ')}{more}"
    redacted = redactor.frame(data[: 4 * MAX_RAW_CHARACTERS]).decode("utf-8", "replace")
    return (
        redacted
        if len(redacted) <= MAX_RAW_CHARACTERS
        else f"{redacted[:MAX_RAW_CHARACTERS]}… ({size_text(len(data))})"
    )


def frame_text(info: FrameInfo, data: bytes, *, text: bool, redactor: Redactor) -> str:
    """Return the text of the content view: summary, changes, and the redacted frame."""
    if info.kind == "heartbeat":
        return f"♥ {info.summary}"
    arrow = "▲" if info.from_client else "▼"
    lines = [f"{arrow} {redactor.text(info.summary)}"]
    if info.changes is not None:
        lines += changes_text(info.changes, redactor)
    if info.view is not None and info.view.tree_problem:
        lines.append(f"  (the page cannot be shown: {info.view.tree_problem})")
    value = _value(info)
    if value is not None:
        lines.append(f"  value: {json_text(redactor.json(value))}")
    lines += ["", raw_text(data, text=text, redactor=redactor)]
    return "\n".join(lines)


def _value(info: FrameInfo) -> object:
    """Return the value that a client sent with an event."""
    if info.kind != "event" or not isinstance(info.frame, Frame) or not isinstance(info.frame.payload, dict):
        return None
    return info.frame.payload.get("value")


def clock_text(at: float) -> str:
    """Return the local time of day with milliseconds, or `?` for an invalid time."""
    try:
        return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03d}"
    except (ValueError, OverflowError, OSError):
        return "?"


def socket_text(info: SocketInfo, session: Session) -> str:
    """Return the comment of a socket: worst problem, close code and counts first, because a list cuts the end."""
    emoji = EMOJI.get(marker_for(info), "")
    code = "" if info.closed_at is None else str(info.close_code or "closed")
    parts = [" ".join(filter(None, (emoji, code))), f"{info.events} ev"]
    slowest = percentile(info.round_trips, 0.95)
    if slowest is not None:
        parts.append(f"p95 {seconds_text(slowest)}")
    if info.crashes > 1:  # the emoji stands for one
        parts.append(f"{info.crashes} crashes")
    if info.refused:
        parts.append(_refused_text(info, session))
    if info.unanswered:
        parts.append(f"{info.unanswered} unanswered")
    main = session.main
    label = f"{main.label}{f' {main.path}' if main.path and main.module else ''}" if main is not None else session.label
    return " · ".join([*filter(None, parts), shortened(label), f"session {session.number}"])


def _refused_text(info: SocketInfo, session: Session) -> str:
    """Return the number of refused joins, or their reasons when the session has one socket only."""
    if len(session.sockets) == 1 and session.refusals:
        return f"refused: {', '.join(shortened(reason) for reason in list(session.refusals)[:2])}"
    return f"{info.refused} join{'' if info.refused == 1 else 's'} refused"


def event_line(info: FrameInfo) -> str:
    """Return the terminal line of an event: view, event, round trip, size of the diff."""
    push = info.push
    if push is None:
        return info.summary
    diff = f"  diff {size_text(push.diff_size)}" if push.diff_size else ""
    end = "" if push.outcome == "ok" else f"  {push.outcome}"
    detail = f"  {shortened(push.detail)}" if push.detail else ""
    name = f"{push.type} {json.dumps(shortened(push.name), ensure_ascii=False)}" if push.type else push.kind
    return f"{shortened(push.view)}  {name}  {seconds_text(push.round_trip)}{diff}{end}{detail}"

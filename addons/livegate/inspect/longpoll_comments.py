"""Comment and marker of the flow of a long-poll exchange: its most severe frame, and the number of others."""

from mitmproxy import http

from livegate.inspect.markers import CRASHED, REFUSED
from livegate.logs.context import FlowAttribute
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor

_WRITTEN = FlowAttribute[tuple[str, int, int, str]]("livegate_longpoll_comment")
"""Of a flow: sentence and severity of its worst frame, number of frames, and the comment that was written last."""
_MARKERS = {"crash": CRASHED, "refused": REFUSED}
_SEVERITY = ("heartbeat", "crash", "refused")
"""Kinds of frames by severity, ascending; all other kinds rank between the first two."""


def comment_on(flow: http.HTTPFlow, info: FrameInfo, redactor: Redactor) -> None:
    """Add a frame to the comment of a long-poll exchange, and mark the flow for a crash or a refused join."""
    summary, severity, count, text = _WRITTEN.get(flow) or ("", -1, 0, "")
    if flow.comment != text:
        return  # the user's own comment
    rank = _SEVERITY.index(info.kind) + (info.kind != "heartbeat") if info.kind in _SEVERITY else 1
    if rank > severity:
        summary, severity = f"{'▲' if info.from_client else '▼'} {redactor.text(info.summary)}", rank
    more = f" · and {count} more" if count else ""
    flow.comment = f"{summary}{more}"
    _WRITTEN.set(flow, (summary, severity, count + 1, flow.comment))
    if info.kind in _MARKERS and not flow.marked:
        flow.marked = _MARKERS[info.kind]

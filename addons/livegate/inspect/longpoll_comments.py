"""What a list of flows says of a long-poll exchange: the frames that it carried, the gravest first."""

from mitmproxy import http

from livegate.inspect.markers import CRASHED, REFUSED
from livegate.logs.context import FlowAttribute
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor

_WRITTEN = FlowAttribute[tuple[str, int, int, str]]("livegate_longpoll_comment")
"""Of a flow: sentence and severity of its worst frame, number of frames, and the comment that was written last."""
_MARKERS = {"crash": CRASHED, "refused": REFUSED}
_SEVERITY = ("heartbeat", "crash", "refused")
"""From the least to the gravest; all others stand between the first two."""


def comment_on(flow: http.HTTPFlow, info: FrameInfo, redactor: Redactor) -> None:
    """Say in the comment of a long-poll exchange that it carried this frame, and mark what went wrong."""
    summary, severity, count, text = _WRITTEN.get(flow) or ("", -1, 0, "")
    if flow.comment != text:
        return  # a user's own
    rank = _SEVERITY.index(info.kind) + (info.kind != "heartbeat") if info.kind in _SEVERITY else 1
    if rank > severity:
        summary, severity = f"{'▲' if info.from_client else '▼'} {redactor.text(info.summary)}", rank
    more = f" · and {count} more" if count else ""
    flow.comment = f"{summary}{more}"
    _WRITTEN.set(flow, (summary, severity, count + 1, flow.comment))
    if info.kind in _MARKERS and not flow.marked:
        flow.marked = _MARKERS[info.kind]

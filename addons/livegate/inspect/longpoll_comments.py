"""What a list of flows says of a long-poll exchange: the frames that it carried, the gravest first."""

from mitmproxy import http

from livegate.inspect.markers import CRASHED, REFUSED
from livegate.phoenix.sessions.frame_info import Note
from livegate.redaction.redactor import Redactor

COMMENTED = "livegate_poll_comment"
"""Attribute of a flow: what its comment was made of, so that one that a user has written stays."""
_MARKERS = {"crash": CRASHED, "refused": REFUSED}
_SEVERITY = ("heartbeat", "crash", "refused")
"""From the least to the gravest; all others stand between the first two."""


def comment_on(flow: http.HTTPFlow, note: Note, redactor: Redactor) -> None:
    """Say in the comment of a long-poll exchange that it carried this frame, and mark what went wrong."""
    sentence, grade, count, text = vars(flow).get(COMMENTED, ("", -1, 0, ""))
    if flow.comment != text:
        return  # a user's own
    rank = _SEVERITY.index(note.what) + (note.what != "heartbeat") if note.what in _SEVERITY else 1
    if rank > grade:
        sentence, grade = f"{'▲' if note.from_client else '▼'} {redactor.text(note.sentence)}", rank
    more = f" · and {count} more" if count else ""
    flow.comment = f"{sentence}{more}"
    setattr(flow, COMMENTED, (sentence, grade, count + 1, flow.comment))
    if note.what in _MARKERS and not flow.marked:
        flow.marked = _MARKERS[note.what]

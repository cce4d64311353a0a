"""Markers that livegate sets on flows, under mitmproxy's names for them, and which one a problem gets."""

from livegate.phoenix.model import SocketInfo

CRASHED, REFUSED, UNANSWERED, WARNING = ":boom:", ":no_entry:", ":question:", ":warning:"
SOCKET_MARKERS = frozenset({CRASHED, REFUSED, UNANSWERED})
MARKERS = SOCKET_MARKERS | {WARNING}
EMOJI = {CRASHED: "💥", REFUSED: "⛔", UNANSWERED: "❓"}
_CRASHES = frozenset({"view-crashed", "crash-loop", "channel-crashed", "upload-crashed", "join-crashed"})
_REFUSALS = frozenset(
    {
        "csrf-missing",
        "cookie-missing",
        "stale",
        "unauthorized",
        "join-reload",
        "topic-unknown",
        "too-many-channels",
        "join-refused",
        "channel-refused",
        "upload-refused",
        "reload-loop",
        "long-poll-origin",
    }
)


def marker_for(info: SocketInfo) -> str:
    """Return the marker for the worst problem of a socket; empty when it has none."""
    if info.crashes:
        return CRASHED
    if info.refused:
        return REFUSED
    return UNANSWERED if info.unanswered else ""


def marker_for_incident(slug: str) -> str:
    """Return the marker for an incident."""
    if slug in _CRASHES:
        return CRASHED
    return REFUSED if slug in _REFUSALS else WARNING

"""Finds incidents in what the channels of one socket go through; called by `phoenix.channel` at each such moment."""

from typing import TYPE_CHECKING, Any

from livegate.phoenix.incidents import IncidentLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from livegate.phoenix.model import Event, Opening, Session, SocketSeen, View


class Detector:
    """Finds the incidents of one socket."""

    def __init__(self, log: IncidentLog, seen: "SocketSeen", opening: "Opening") -> None:
        self._log = log
        self._seen = seen
        self._opening = opening

    def join_asked(self, view: "View", payload: dict[str, Any]) -> None:
        """The client asks to join a channel."""

    def joined(self, session: "Session", view: "View", join: "Event") -> None:
        """A join was answered with ok: what had failed before for this view has healed."""

    def join_refused(self, session: "Session", view: "View", join: "Event", response: dict[str, Any]) -> None:
        """A join was answered with an error that is no redirect."""

    def crashed(self, session: "Session", view: "View", lost: "Iterable[Event]", at: float) -> None:
        """A channel's process ended abnormally: `phx_error` with the view's current join_ref."""

    def answered(self, session: "Session", event: "Event") -> None:
        """A push was answered, late perhaps."""

    def pending(self, session: "Session | None", events: "Iterable[Event]", at: float) -> None:
        """Pushes that still wait for an answer: called at heartbeats, leaves and at the socket's end."""

    def posts_refused(self, session: "Session", origin: str, at: float) -> None:
        """A long-poll POST of a session that is open was answered with status 403 in its body."""

"""What a list of flows says of a session: the comment and the sign of its socket's flow."""

from mitmproxy import ctx, hooks, http

from livegate.inspect.describe import session_text, sign_of
from livegate.inspect.redaction import Redactor
from livegate.mitm.policy import not_kept_text
from livegate.phoenix.model import Session

SOON_S = 0.5
"""So long after something has happened in a session its comment says so, and all that happened meanwhile."""


class Comments:
    """Writes comments, at most one in `SOON_S` a flow, and the last word always."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._due: dict[str, Session] = {}
        """By the flow's id: of whom a comment is to be written soon."""

    def soon(self, flow: http.HTTPFlow, session: Session) -> None:
        """Something happened in the session of this flow's socket."""
        if flow.id not in self._due:
            ctx.master.event_loop.call_later(SOON_S, self._write_due, flow)
        self._due[flow.id] = session  # which may turn out to be another one than before

    def last(self, flow: http.HTTPFlow, session: Session | None) -> None:
        """The socket has ended."""
        self._due.pop(flow.id, None)
        if session is not None:
            self.write(flow, session)

    def write(self, flow: http.HTTPFlow, session: Session) -> None:
        """Say how things stand, at once."""
        not_kept = not_kept_text(flow)
        flow.comment = self._redactor.text(session_text(session)) + (f" · {not_kept}" if not_kept else "")
        sign = sign_of(session)
        if sign and not flow.marked:
            flow.marked = sign

    def _write_due(self, flow: http.HTTPFlow) -> None:
        session = self._due.pop(flow.id, None)
        if session is not None:
            self.write(flow, session)
            ctx.master.addons.trigger(hooks.UpdateHook([flow]))

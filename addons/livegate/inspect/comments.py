"""What a list of flows says of a session: the comment and the sign of its socket's flow."""

import asyncio
from dataclasses import dataclass

from mitmproxy import ctx, hooks, http

from livegate.inspect.describe import session_text, sign_of
from livegate.inspect.redaction import Redactor
from livegate.mitm.policy import NOT_KEPT
from livegate.phoenix.model import Session

EVERY_S = 0.5
"""A session that is busy has its comment written anew so often."""


@dataclass(slots=True)
class _Pause:
    """No comment is written to a flow until this is over; then one is, if there is something new to say."""

    timer: asyncio.TimerHandle
    session: Session | None = None


class Comments:
    """Writes comments, at most one in `EVERY_S` a flow, and the last word always."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pauses: dict[str, _Pause] = {}

    def soon(self, flow: http.HTTPFlow, session: Session) -> None:
        """Something happened in the session of this flow's socket."""
        pause = self._pauses.get(flow.id)
        if pause is not None:
            pause.session = session
            return
        timer = ctx.master.event_loop.call_later(EVERY_S, self._over, flow)
        self._pauses[flow.id] = _Pause(timer)
        self.write(flow, session)

    def last(self, flow: http.HTTPFlow, session: Session | None) -> None:
        """The socket has ended."""
        pause = self._pauses.pop(flow.id, None)
        if pause is not None:
            pause.timer.cancel()
        if session is not None:
            self.write(flow, session)

    def write(self, flow: http.HTTPFlow, session: Session) -> None:
        """Say how things stand, at once."""
        gone = flow.metadata.get(NOT_KEPT)
        not_kept = f" · {gone:,} earlier messages not kept" if isinstance(gone, int) else ""
        flow.comment = f"{self._redactor.text(session_text(session))}{not_kept}"
        sign = sign_of(session)
        if sign and not flow.marked:
            flow.marked = sign

    def _over(self, flow: http.HTTPFlow) -> None:
        pause = self._pauses.pop(flow.id)
        if pause.session is not None:
            self.soon(flow, pause.session)
            ctx.master.addons.trigger(hooks.UpdateHook([flow]))

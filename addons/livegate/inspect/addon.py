"""The LiveView inspector: an addon that understands Phoenix's traffic and tells of it. No gateway is needed for it."""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable

from mitmproxy import contentviews, ctx, exceptions, http
from mitmproxy.addonmanager import Loader

from livegate.inspect.comments import FlowComments
from livegate.inspect.contentview import HeartbeatContentview, LiveViewContentview
from livegate.inspect.incident_log import IncidentLogger
from livegate.inspect.longpoll_comments import comment_on
from livegate.inspect.recorder import TRACKING, ObservedFrame, Recorder
from livegate.inspect.text import event_line
from livegate.logs.context import about
from livegate.mitm.hook_table import isolated
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.redaction.redactor import Redactor

logger = logging.getLogger("livegate.liveview")

WEB_COLUMNS = ["tls", "icon", "path", "comment", "method", "status", "size", "time"]
"""Of mitmweb: its own, and the comment that says what a session is up to."""
_COMMENTED_AT_ONCE = frozenset({"crash", "refused", "redirected", "joined"})
_LOGGED_KINDS = {"events": frozenset({"reply", "joined", "redirected", "refused", "crash"}), "frames": None}
_COLOURS = {"crash": "31;1", "refused": "31", "reply": "32", "joined": "36", "redirected": "36", "heartbeat": "2"}
EXPIRE_EVERY_S = 5.0
SLOW_S = 0.2
SLOW_COLOUR = "33"


class LiveViewInspector:
    """Follows LiveView sessions: comments and marks on flows, lines in the terminal, the content view."""

    def __init__(self, recorder: Recorder | None = None, redactor: Redactor | None = None) -> None:
        self.recorder = recorder or Recorder()
        self.redactor = redactor or Redactor()
        self.recorder.on_frame.append(self._on_frame)
        self._comments = FlowComments(self.redactor)
        self._incidents = IncidentLogger(self.recorder, self.redactor)
        self._colour = sys.stdout.isatty()
        self._timer: asyncio.TimerHandle | None = None

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "liveview_log",
            str,
            "off",
            "LiveView in the terminal: off, events (a line each) or frames.",
            ["off", "events", "frames"],
        )
        contentviews.add(LiveViewContentview(self.redactor))
        contentviews.add(HeartbeatContentview())

    def configure(self, updated: set[str]) -> None:
        if "liveview_log" in updated and ctx.options.liveview_log not in ("off", *_LOGGED_KINDS):
            raise exceptions.OptionsError("liveview_log is off, events or frames")

    def running(self) -> None:
        self._expire()
        if hasattr(ctx.master, "app"):  # mitmweb, which has Tornado loaded
            from livegate.mitm import comment_column

            comment_column.widen(ctx.master)
        if "web_columns" in ctx.options and not ctx.options.has_changed("web_columns"):
            ctx.options.update(web_columns=WEB_COLUMNS)

    def _expire(self) -> None:
        """Look for long-poll sockets that have ended, now and then: nothing says so."""
        self.recorder.expire(time.time())
        self._timer = ctx.master.event_loop.call_later(EXPIRE_EVERY_S, self._expire)

    def done(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.recorder.close()

    @isolated
    def request(self, flow: http.HTTPFlow) -> None:
        if flow.response is None and flow.error is None:
            self.recorder.request(flow)

    @isolated
    def response(self, flow: http.HTTPFlow) -> None:
        self.recorder.exchange(flow)

    @isolated
    def error(self, flow: http.HTTPFlow) -> None:
        if flow.websocket is None:
            self.recorder.exchange(flow)

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        if TRACKING.get(flow) is not False and flow.websocket is not None and flow.websocket.messages:
            self.recorder.message(flow, flow.websocket.messages[-1])

    def websocket_end(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Tell of the end when all that came before it has been read, which may still be under way."""
        unread = self.recorder.pending_reads(flow)
        if unread is None:
            self._end(flow)
            return None
        return self._end_after(flow, unread)

    async def _end_after(self, flow: http.HTTPFlow, unread: Awaitable[None]) -> None:
        await unread
        self._end(flow)

    @isolated
    def _end(self, flow: http.HTTPFlow) -> None:
        channels = self.recorder.closed(flow)
        self._comments.write_final(flow, channels)

    def _on_frame(self, seen: ObservedFrame) -> None:
        flow, info = seen.flow, seen.info
        session = info.session
        if flow.websocket is None:
            comment_on(flow, info, self.redactor)
        elif session is not None:
            if info.kind in _COMMENTED_AT_ONCE:
                self._comments.write(flow, seen.socket)
            else:
                self._comments.schedule(flow, seen.socket)
        if ctx.options.liveview_log != "off":
            self._log_frame(flow, info)

    def _log_frame(self, flow: http.HTTPFlow, info: FrameInfo) -> None:
        shown = _LOGGED_KINDS[ctx.options.liveview_log]
        if shown is not None and (
            info.kind not in shown or (info.push is not None and info.push.kind not in _TIMED_PUSHES)
        ):
            return
        line = info.summary if shown is None else f"{_session_prefix(info)}{_line(info)}"
        line = self.redactor.text(line)
        logger.info("%s", f"\x1b[{_colour(info)}m{line}\x1b[0m" if self._colour else line, extra=about(flow))


_TIMED_PUSHES = frozenset({"event", "patch", "join", "upload"})


def _session_prefix(info: FrameInfo) -> str:
    return f"[{info.session.number}] " if info.session is not None else ""


def _line(info: FrameInfo) -> str:
    return event_line(info) if info.kind == "reply" else info.summary


def _colour(info: FrameInfo) -> str:
    trip = info.push.round_trip if info.push is not None else None
    if info.kind == "reply" and trip is not None and trip > SLOW_S:
        return SLOW_COLOUR
    return _COLOURS.get(info.kind, "0")

"""LiveView inspector: addon that shows Phoenix traffic in mitmproxy's user interfaces; works without the gateway."""

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
"""Columns of mitmweb: its defaults, and the comment."""
_COMMENTED_AT_ONCE = frozenset({"crash", "refused", "redirected", "joined"})
_LOGGED_KINDS = {"events": frozenset({"reply", "joined", "redirected", "refused", "crash"}), "frames": None}
_COLOURS = {"crash": "31;1", "refused": "31", "reply": "32", "joined": "36", "redirected": "36", "heartbeat": "2"}
"""Escape codes (SGR) by kind of frame."""
EXPIRE_EVERY_S = 5.0
SLOW_S = 0.2
"""Round trip beyond which a line is yellow."""
SLOW_COLOUR = "33"


class LiveViewInspector:
    """Decodes flows with the recorder; writes comments, markers and terminal lines, and adds the content views."""

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
            "LiveView in the terminal: off, events (one line per event) or frames (one line per frame).",
            ["off", "events", "frames"],
        )
        contentviews.add(LiveViewContentview(self.redactor))
        contentviews.add(HeartbeatContentview())

    def configure(self, updated: set[str]) -> None:
        if "liveview_log" in updated and ctx.options.liveview_log not in ("off", *_LOGGED_KINDS):
            raise exceptions.OptionsError("liveview_log must be off, events or frames")

    def running(self) -> None:
        self._expire()
        if hasattr(ctx.master, "app"):  # mitmweb, which has Tornado loaded
            from livegate.mitm import comment_column

            comment_column.widen(ctx.master)
        if "web_columns" in ctx.options and not ctx.options.has_changed("web_columns"):
            ctx.options.update(web_columns=WEB_COLUMNS)

    def _expire(self) -> None:
        """Close long-poll sockets that have timed out, periodically, because no hook is called for it."""
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
        """Process the close after all pending messages of the socket."""
        pending = self.recorder.pending_reads(flow)
        if pending is None:
            self._end(flow)
            return None
        return self._end_after(flow, pending)

    async def _end_after(self, flow: http.HTTPFlow, pending: Awaitable[None]) -> None:
        await pending
        self._end(flow)

    @isolated
    def _end(self, flow: http.HTTPFlow) -> None:
        self._comments.write_final(flow, self.recorder.closed(flow))

    def _on_frame(self, frame: ObservedFrame) -> None:
        flow, info = frame.flow, frame.info
        session = info.session
        if flow.websocket is None:
            comment_on(flow, info, self.redactor)
        elif session is not None:
            if info.kind in _COMMENTED_AT_ONCE:
                self._comments.write(flow, frame.socket)
            else:
                self._comments.schedule(flow, frame.socket)
        if ctx.options.liveview_log != "off":
            self._log_frame(flow, info)

    def _log_frame(self, flow: http.HTTPFlow, info: FrameInfo) -> None:
        kinds = _LOGGED_KINDS[ctx.options.liveview_log]
        if kinds is not None and (
            info.kind not in kinds or (info.push is not None and info.push.kind not in _TIMED_PUSHES)
        ):
            return
        line = info.summary if kinds is None else f"{_session_prefix(info)}{_line(info)}"
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

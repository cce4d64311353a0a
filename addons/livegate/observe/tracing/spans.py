"""Spans of requests, sessions, sockets and pushes: one trace per LiveView session. Fed by `observe.tracing.addon`.

Sans-I/O: no clock, and nothing of OpenTelemetry. Times are seconds since 1970, as they come with frames and flows.
Every table is bounded. docs/reference/tracing.md describes each span and when it ends.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from livegate.observe.metrics.labels import OTHER, event_label, view_label
from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import Push, SocketInfo, View
from livegate.phoenix.sessions.frame_info import FrameInfo
from livegate.pipeline.fields.trace_context import RequestTrace, Sampler, SpanContext
from livegate.redaction.redactor import Redactor

MAX_SESSIONS = 10_000
MAX_SOCKETS = 20_000
MAX_OPEN_PUSHES = 500
"""Pushes per socket; when exceeded, the oldest span ends. The tracker has the same limit."""
MAX_DIFFS = 32
"""Span events per socket: the latest diffs that are no reply."""
MAX_TEXT = 2048
"""Characters of a text from outside that are redacted; the rest is cut off."""
LINGER_S = 60.0
"""Seconds without a socket after which a session's root span ends; a browser reconnects within 10 s."""
LONG_POLL_QUIET_S = 90.0
"""Seconds without a frame after which a long-poll socket counts as closed; phoenix.js sends a heartbeat every 30 s."""

type Value = str | bool | int | float
type Kind = Literal["internal", "server"]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Event of a span, as OpenTelemetry defines it."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """Ended span. Times in nanoseconds since 1970."""

    name: str
    context: SpanContext
    parent: str | None
    """Span id of the parent, in the same trace."""
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    kind: Kind = "internal"
    error: str | None = None
    """Description of the error; None without one."""
    remote_parent: bool = False
    """Whether the parent is a span of another process."""
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanContext, ...] = ()


@dataclass(slots=True)
class _Trace:
    """Pending root span of a session."""

    root: SpanContext
    session: int
    service: str
    started_at: float
    last_activity: float
    parent: SpanContext | None = None
    view: str = ""
    path: str = ""
    open_sockets: int = 0
    ended: bool = False
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("sockets", "joins", "events", "crashes", "unanswered", "diff_bytes"), 0)
    )


@dataclass(slots=True)
class _OpenPush:
    event: Push
    context: SpanContext
    view: str


@dataclass(slots=True)
class _OpenSocket:
    trace: _Trace
    context: SpanContext
    info: SocketInfo
    last_activity: float
    upgrade: SpanContext | None
    pushes: OrderedDict[int, _OpenPush] = field(default_factory=OrderedDict)
    """Pending pushes by identity."""
    diffs: deque[SpanEvent] = field(default_factory=lambda: deque(maxlen=MAX_DIFFS))
    diff_count: int = 0
    diff_bytes: int = 0


class Spans:
    """Pending traces; each span is passed to `export` when it ends."""

    def __init__(self, sampler: Sampler, redactor: Redactor, export: Callable[[Span], None]) -> None:
        self.sampler = sampler
        self._redactor = redactor
        self._export = export
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        """Traces by session number, the one that started or opened a socket last at the end."""
        self._sockets: OrderedDict[str, _OpenSocket] = OrderedDict()

    # HTTP

    def start_session(
        self, request: RequestTrace, number: int, service: str, path: str, *, began: float, ended: float
    ) -> None:
        """Start a session's trace with the request that loaded its page."""
        root = SpanContext(request.context.trace_id, self.sampler.span_id(), request.context.flags)
        trace = _Trace(root, number, service, began, ended, request.parent, path=self.text(path))
        self._add_trace(trace)

    def end_request(
        self,
        request: RequestTrace,
        method: str,
        attributes: dict[str, Value],
        *,
        error: str | None,
        began: float,
        ended: float,
        number: int | None = None,
        is_page: bool = False,
    ) -> None:
        """Export the span of a request; `number` is its session, and `is_page` whether it loaded the session's page."""
        if not request.recorded:
            return
        trace = self._traces.get(number) if number is not None else None
        if trace is not None:
            attributes["livegate.session"] = trace.session
        parent, remote = (request.parent.span_id, True) if request.parent is not None else (None, False)
        links: tuple[SpanContext, ...] = ()
        if trace is not None and is_page:
            parent, remote = trace.root.span_id, False
        elif trace is not None and trace.root.sampled:
            links = (trace.root,)
        period = _period(began, ended)
        self._export(Span(method, request.context, parent, *period, attributes, "server", error, remote, links=links))

    # Frames

    def on_frame(self, note: FrameInfo, info: SocketInfo, service: str, upgrade: SpanContext | None) -> None:
        """Record a decoded frame; `upgrade` is the span of the request that opened the socket."""
        session, view = note.session, note.view
        socket = self._sockets.get(info.id)
        if socket is not None:
            socket.last_activity = socket.trace.last_activity = max(socket.last_activity, note.at)
        if session is None or view is None or not view.is_live:
            return
        trace = self._traces.get(session.number) or self._start_trace(session.number, service, note.at)
        if not trace.root.sampled:
            return
        if socket is None:
            socket = self._open_socket(trace, info, note.at, upgrade)
        if not trace.view:
            trace.view, trace.path = self._view(view), trace.path or self.text(view.path or "")
        self._record_frame(socket, note, view)

    def _record_frame(self, socket: _OpenSocket, note: FrameInfo, view: View) -> None:
        event = note.push
        if note.from_client:
            if event is not None and event.kind in _SPAN_KINDS:
                self._start_push(socket, event, view)
        elif note.kind == "diff":
            attributes: dict[str, Value] = {"liveview.view": self._view(view), "liveview.diff_bytes": note.diff_size}
            socket.diffs.append(SpanEvent("diff", _ns(note.at), attributes))
            socket.diff_count += 1
            socket.diff_bytes += note.diff_size
            socket.trace.counts["diff_bytes"] += note.diff_size
        elif note.kind in ("crash", "close"):
            socket.trace.counts["crashes"] += note.kind == "crash"
            self._end_finished_pushes(socket, note.at)
        elif event is not None and (push := socket.pushes.pop(id(event), None)) is not None:
            self._end_push(socket, push, note.at, event.outcome)

    def _start_trace(self, number: int, service: str, at: float) -> _Trace:
        """Start a trace for a session whose page load was not seen, or long ago."""
        trace = _Trace(self.sampler.new_trace(), number, service, at, at)
        self._add_trace(trace)
        return trace

    def _add_trace(self, trace: _Trace) -> None:
        self._traces[trace.session] = trace
        if len(self._traces) > MAX_SESSIONS:
            _, oldest = self._traces.popitem(last=False)
            self._end_root(oldest)

    def _open_socket(self, trace: _Trace, info: SocketInfo, at: float, upgrade: SpanContext | None) -> _OpenSocket:
        self._traces.move_to_end(trace.session)
        if len(self._sockets) >= MAX_SOCKETS:
            _, oldest = self._sockets.popitem(last=False)
            self._end_socket(oldest, oldest.last_activity, {"livegate.close.by": "forgotten"})
        socket = self._sockets[info.id] = _OpenSocket(trace, self._child_context(trace), info, at, upgrade)
        trace.open_sockets += 1
        trace.counts["sockets"] += 1
        return socket

    def _start_push(self, socket: _OpenSocket, event: Push, view: View) -> None:
        socket.pushes[id(event)] = _OpenPush(event, self._child_context(socket.trace), self._view(view))
        socket.trace.counts["joins" if event.kind == "join" else "events"] += 1
        if len(socket.pushes) > MAX_OPEN_PUSHES:
            _, oldest = socket.pushes.popitem(last=False)
            self._end_push(socket, oldest, event.sent_at, "forgotten")

    def _end_finished_pushes(self, socket: _OpenSocket, at: float) -> None:
        """End the spans of pushes that the tracker no longer waits for."""
        for key, push in list(socket.pushes.items()):
            if push.event.outcome != "pending":
                del socket.pushes[key]
                self._end_push(socket, push, at, push.event.outcome)

    def _end_push(self, socket: _OpenSocket, push: _OpenPush, at: float, outcome: str) -> None:
        event, trace = push.event, socket.trace
        attributes: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.session,
            "liveview.view": push.view,
            "liveview.kind": event.kind,
            "liveview.ref": self.text(event.ref or ""),
            "liveview.outcome": outcome,
            "liveview.push_bytes": event.size,
            "liveview.reply_bytes": event.reply_size,
            "liveview.diff_bytes": event.diff_size,
        }
        if event.kind in ("event", "patch"):
            attributes["liveview.event"] = self.text(event.name)
            attributes["liveview.event_type"] = self.text(event.type)
        if event.detail:
            attributes["liveview.detail"] = self.text(event.detail)
        trace.counts["diff_bytes"] += event.diff_size
        trace.counts["unanswered"] += outcome in _NO_REPLY
        error = None if outcome in ("ok", "pending") else self.text(event.detail) or outcome
        name, period = self._span_name(event, push.view), _period(event.sent_at, at)
        self._export(Span(name, push.context, socket.context.span_id, *period, attributes, error=error))

    # Ends

    def end_socket(self, socket_id: str, at: float, attributes: dict[str, Value]) -> None:
        """End a socket's span, with these attributes in addition."""
        socket = self._sockets.pop(socket_id, None)
        if socket is not None:
            self._end_socket(socket, at, attributes)

    def sweep(self, now: float) -> None:
        """End the spans of closed sockets and sessions. Called every few seconds; takes about 1 µs for each."""
        for id_, socket in list(self._sockets.items()):
            info = socket.info
            if info.closed_at is not None:
                self.end_socket(id_, info.closed_at, {"livegate.close.by": info.closed_by})
            elif info.transport == "longpoll" and now - socket.last_activity > LONG_POLL_QUIET_S:
                self.end_socket(id_, socket.last_activity, {"livegate.close.by": "quiet"})
        for trace in self._traces.values():
            if not trace.ended and not trace.open_sockets and now - trace.last_activity > LINGER_S:
                self._end_root(trace)

    def end_all(self, now: float) -> None:
        """End all pending spans, because the process ends or tracing was disabled."""
        for id_ in list(self._sockets):
            self.end_socket(id_, now, {"livegate.close.by": "still open"})
        for trace in self._traces.values():
            self._end_root(trace)
        self._traces.clear()

    def _end_socket(self, socket: _OpenSocket, at: float, attributes: dict[str, Value]) -> None:
        trace, info = socket.trace, socket.info
        self._end_finished_pushes(socket, at)
        for push in socket.pushes.values():
            self._end_push(socket, push, at, "pending")
        trace.open_sockets -= 1
        trace.last_activity = max(trace.last_activity, at)
        values: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.session,
            "network.protocol.name": info.transport,
            "liveview.diffs": socket.diff_count,
            "liveview.diff_bytes": socket.diff_bytes,
            **attributes,
        }
        links = (socket.upgrade,) if socket.upgrade is not None else ()
        period = _period(info.opened_at, at)
        events = tuple(socket.diffs)
        parent = trace.root.span_id
        self._export(Span("liveview.socket", socket.context, parent, *period, values, events=events, links=links))

    def _end_root(self, trace: _Trace) -> None:
        """Export a session's root span, once; later sockets still belong to its trace."""
        if trace.ended or not trace.root.sampled:
            return
        trace.ended = True
        attributes: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.session,
            "liveview.view": trace.view,
            "url.path": trace.path,
            **{f"liveview.{name}": count for name, count in trace.counts.items()},
        }
        parent = trace.parent.span_id if trace.parent is not None else None
        period = _period(trace.started_at, trace.last_activity)
        remote = parent is not None
        self._export(Span("liveview.session", trace.root, parent, *period, attributes, remote_parent=remote))

    # Words

    def text(self, text: str) -> str:
        """Return a text from outside: redacted, short, printable."""
        return shortened(self._redactor.string(text[:MAX_TEXT])) if text else ""

    def _view(self, view: View) -> str:
        return self.text(view.module or view.label)

    def _span_name(self, event: Push, view: str) -> str:
        """Return a span's name, which contains at most one label value, so that names are bounded."""
        word = event_label(event.kind, self.text(event.name)) if event.kind == "event" else view_label(view)
        if event.kind not in ("event", "join") or word == OTHER:
            return f"liveview.{event.kind}"
        return f"liveview.{event.kind} {word.rpartition('.')[2] if event.kind == 'join' else word}"

    def _child_context(self, trace: _Trace) -> SpanContext:
        return SpanContext(trace.root.trace_id, self.sampler.span_id(), trace.root.flags)


_SPAN_KINDS = frozenset({"join", "event", "patch", "upload"})
_NO_REPLY = frozenset({"crash", "left", "closed", "forgotten"})


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _period(began: float, ended: float) -> tuple[int, int]:
    """Return start and end in nanoseconds; the end is never before the start, even if the clock was set back."""
    return _ns(began), _ns(max(began, ended))

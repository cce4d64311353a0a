"""Turns what the gateway saw into spans: one trace a LiveView session, a span each request; fed by observe.tracing.

Values in, values out: no clock, no IO, nothing of OpenTelemetry. Times are seconds since 1970 as they come with frames
and flows; whatever holds something is bounded. What each span is, and when it is told, stands in docs/tracing.md.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from livegate.observe.metrics.labels import OTHER, event_label, view_label
from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import Event, SocketSeen, View
from livegate.phoenix.sessions.frame_info import Note
from livegate.pipeline.fields.trace_context import Context, Request, Sampler
from livegate.redaction.redactor import Redactor

MAX_SESSIONS = 10_000
MAX_SOCKETS = 20_000
MAX_OPEN_PUSHES = 500
"""Of one socket, as the tracker bounds them."""
MAX_DIFFS = 32
"""Of one socket: the last diffs that came unasked."""
MAX_TEXT = 2048
"""Characters of a text from outside that are looked at."""
LINGER_S = 60.0
"""How long a session may be without a socket before its root span is told; a browser reconnects within 10 s."""
LONG_POLL_QUIET_S = 90.0
"""A long-poll socket without a frame for so long has gone; phoenix.js sends a heartbeat every 30 s."""

type Value = str | bool | int | float
type Kind = Literal["internal", "server"]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has ended. Times in nanoseconds since 1970."""

    name: str
    own: Context
    parent: str | None
    """The span id of its parent, in the same trace."""
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    kind: Kind = "internal"
    error: str | None = None
    """Why it failed; None when it did not."""
    remote_parent: bool = False
    """Whether another process told of the parent."""
    moments: tuple[Moment, ...] = ()
    links: tuple[Context, ...] = ()


@dataclass(slots=True)
class _Trace:
    """Of one session: its root span to be."""

    root: Context
    number: int
    service: str
    began: float
    last: float
    parent: Context | None = None
    view: str = ""
    path: str = ""
    open: int = 0
    told: bool = False
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("sockets", "joins", "events", "crashes", "unanswered", "diff_bytes"), 0)
    )


@dataclass(slots=True)
class _Push:
    event: Event
    own: Context
    view: str


@dataclass(slots=True)
class _Socket:
    trace: _Trace
    own: Context
    seen: SocketSeen
    last: float
    upgrade: Context | None
    pushes: OrderedDict[int, _Push] = field(default_factory=OrderedDict)
    """By the identity of their events."""
    diffs: deque[Moment] = field(default_factory=lambda: deque(maxlen=MAX_DIFFS))
    diff_count: int = 0
    diff_bytes: int = 0


class Spans:
    """All traces that are under way; hands each span to `tell` when it has ended."""

    def __init__(self, sampler: Sampler, redactor: Redactor, tell: Callable[[Span], None]) -> None:
        self.sampler = sampler
        self._redactor = redactor
        self._tell = tell
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        """By the session's number, the one that began or had a socket opened last at the end."""
        self._sockets: OrderedDict[str, _Socket] = OrderedDict()

    # HTTP

    def page(self, request: Request, number: int, service: str, path: str, *, began: float, ended: float) -> None:
        """A request has brought a page that a session begins with: its trace becomes the session's."""
        root = Context(request.own.trace_id, self.sampler.span_id(), request.own.flags)
        trace = _Trace(root, number, service, began, ended, request.parent, path=self.text(path))
        self._keep(trace)

    def request(
        self,
        request: Request,
        method: str,
        attributes: dict[str, Value],
        *,
        error: str | None,
        began: float,
        ended: float,
        number: int | None = None,
        is_page: bool = False,
    ) -> None:
        """A request is over; `number` is that of the session it is of, and `is_page` whether that began with it."""
        if not request.recorded:
            return
        trace = self._traces.get(number) if number is not None else None
        if trace is not None:
            attributes["livegate.session"] = trace.number
        parent, remote = (request.parent.span_id, True) if request.parent is not None else (None, False)
        links: tuple[Context, ...] = ()
        if trace is not None and is_page:
            parent, remote = trace.root.span_id, False
        elif trace is not None and trace.root.sampled:
            links = (trace.root,)
        period = _period(began, ended)
        self._tell(Span(method, request.own, parent, *period, attributes, "server", error, remote, links=links))

    # Frames

    def frame(self, note: Note, seen: SocketSeen, service: str, upgrade: Context | None) -> None:
        """A frame of a socket was understood; `upgrade` is the span of the request that opened the socket."""
        session, view = note.session, note.view
        socket = self._sockets.get(seen.id)
        if socket is not None:
            socket.last = socket.trace.last = max(socket.last, note.at)
        if session is None or view is None or not view.is_live:
            return
        trace = self._traces.get(session.number) or self._begin(session.number, service, note.at)
        if not trace.root.sampled:
            return
        if socket is None:
            socket = self._open(trace, seen, note.at, upgrade)
        if not trace.view:
            trace.view, trace.path = self._view(view), trace.path or self.text(view.path or "")
        self._understood(socket, note, view)

    def _understood(self, socket: _Socket, note: Note, view: View) -> None:
        event = note.event
        if note.from_client:
            if event is not None and event.kind in _SPANS:
                self._pushed(socket, event, view)
        elif note.what == "diff":
            attributes: dict[str, Value] = {"liveview.view": self._view(view), "liveview.diff_bytes": note.diff_size}
            socket.diffs.append(Moment("diff", _ns(note.at), attributes))
            socket.diff_count += 1
            socket.diff_bytes += note.diff_size
            socket.trace.counts["diff_bytes"] += note.diff_size
        elif note.what in ("crash", "close"):
            socket.trace.counts["crashes"] += note.what == "crash"
            self._end_lost(socket, note.at)
        elif event is not None and (push := socket.pushes.pop(id(event), None)) is not None:
            self._end_push(socket, push, note.at, event.outcome)

    def _begin(self, number: int, service: str, at: float) -> _Trace:
        """A session whose page load did not go by, or long ago."""
        trace = _Trace(self.sampler.begin(), number, service, at, at)
        self._keep(trace)
        return trace

    def _keep(self, trace: _Trace) -> None:
        self._traces[trace.number] = trace
        if len(self._traces) > MAX_SESSIONS:
            _, oldest = self._traces.popitem(last=False)
            self._end_root(oldest)

    def _open(self, trace: _Trace, seen: SocketSeen, at: float, upgrade: Context | None) -> _Socket:
        self._traces.move_to_end(trace.number)
        if len(self._sockets) >= MAX_SOCKETS:
            _, oldest = self._sockets.popitem(last=False)
            self._end_socket(oldest, oldest.last, {"livegate.close.by": "forgotten"})
        socket = self._sockets[seen.id] = _Socket(trace, self._child(trace), seen, at, upgrade)
        trace.open += 1
        trace.counts["sockets"] += 1
        return socket

    def _pushed(self, socket: _Socket, event: Event, view: View) -> None:
        socket.pushes[id(event)] = _Push(event, self._child(socket.trace), self._view(view))
        socket.trace.counts["joins" if event.kind == "join" else "events"] += 1
        if len(socket.pushes) > MAX_OPEN_PUSHES:
            _, oldest = socket.pushes.popitem(last=False)
            self._end_push(socket, oldest, event.sent_at, "forgotten")

    def _end_lost(self, socket: _Socket, at: float) -> None:
        """Pushes that the tracker does not wait for any more."""
        for key, push in list(socket.pushes.items()):
            if push.event.outcome != "pending":
                del socket.pushes[key]
                self._end_push(socket, push, at, push.event.outcome)

    def _end_push(self, socket: _Socket, push: _Push, at: float, outcome: str) -> None:
        event, trace = push.event, socket.trace
        attributes: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.number,
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
        trace.counts["unanswered"] += outcome in _UNANSWERED
        error = None if outcome in ("ok", "pending") else self.text(event.detail) or outcome
        name, period = self._name(event, push.view), _period(event.sent_at, at)
        self._tell(Span(name, push.own, socket.own.span_id, *period, attributes, error=error))

    # Ends

    def closed(self, socket_id: str, at: float, attributes: dict[str, Value]) -> None:
        """A socket has ended; what the attributes tell of that is added to its span."""
        socket = self._sockets.pop(socket_id, None)
        if socket is not None:
            self._end_socket(socket, at, attributes)

    def sweep(self, now: float) -> None:
        """Tell of what has ended without a word. Called every few seconds, takes about 1 µs a socket or session."""
        for id_, socket in list(self._sockets.items()):
            seen = socket.seen
            if seen.closed_at is not None:
                self.closed(id_, seen.closed_at, {"livegate.close.by": seen.closed_by})
            elif seen.transport == "longpoll" and now - socket.last > LONG_POLL_QUIET_S:
                self.closed(id_, socket.last, {"livegate.close.by": "quiet"})
        for trace in self._traces.values():
            if not trace.told and not trace.open and now - trace.last > LINGER_S:
                self._end_root(trace)

    def end(self, now: float) -> None:
        """Tell of everything that is under way, as it is: the process ends, or tracing is switched off."""
        for id_ in list(self._sockets):
            self.closed(id_, now, {"livegate.close.by": "still open"})
        for trace in self._traces.values():
            self._end_root(trace)
        self._traces.clear()

    def _end_socket(self, socket: _Socket, at: float, attributes: dict[str, Value]) -> None:
        trace, seen = socket.trace, socket.seen
        self._end_lost(socket, at)
        for push in socket.pushes.values():
            self._end_push(socket, push, at, "pending")
        trace.open -= 1
        trace.last = max(trace.last, at)
        told: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.number,
            "network.protocol.name": seen.transport,
            "liveview.diffs": socket.diff_count,
            "liveview.diff_bytes": socket.diff_bytes,
            **attributes,
        }
        links = (socket.upgrade,) if socket.upgrade is not None else ()
        period = _period(seen.opened_at, at)
        moments = tuple(socket.diffs)
        parent = trace.root.span_id
        self._tell(Span("liveview.socket", socket.own, parent, *period, told, moments=moments, links=links))

    def _end_root(self, trace: _Trace) -> None:
        """Tell of a session, once: sockets that come later are still of its trace."""
        if trace.told or not trace.root.sampled:
            return
        trace.told = True
        attributes: dict[str, Value] = {
            "livegate.service": trace.service,
            "livegate.session": trace.number,
            "liveview.view": trace.view,
            "url.path": trace.path,
            **{f"liveview.{name}": count for name, count in trace.counts.items()},
        }
        parent = trace.parent.span_id if trace.parent is not None else None
        period = _period(trace.began, trace.last)
        remote = parent is not None
        self._tell(Span("liveview.session", trace.root, parent, *period, attributes, remote_parent=remote))

    # Words

    def text(self, text: str) -> str:
        """A text from outside: without secrets, short, printable."""
        return shortened(self._redactor.string(text[:MAX_TEXT])) if text else ""

    def _view(self, view: View) -> str:
        return self.text(view.module or view.label)

    def _name(self, event: Event, view: str) -> str:
        """What a span is called: never more than a word that fits for a label."""
        word = event_label(event.kind, self.text(event.name)) if event.kind == "event" else view_label(view)
        if event.kind not in ("event", "join") or word == OTHER:
            return f"liveview.{event.kind}"
        return f"liveview.{event.kind} {word.rpartition('.')[2] if event.kind == 'join' else word}"

    def _child(self, trace: _Trace) -> Context:
        return Context(trace.root.trace_id, self.sampler.span_id(), trace.root.flags)


_SPANS = frozenset({"join", "event", "patch", "upload"})
_UNANSWERED = frozenset({"crash", "left", "closed", "forgotten"})


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _period(began: float, ended: float) -> tuple[int, int]:
    """Start and end in nanoseconds; a clock that was set back makes no span of less than nothing."""
    return _ns(began), _ns(max(began, ended))

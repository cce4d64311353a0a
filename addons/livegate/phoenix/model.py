"""Data model of sessions: plain values that `sessions` and `incidents` fill in, and that other packages read.

Times are seconds of the caller's clock, sizes bytes. Names follow phoenix.js (`Push`, `join_ref`, `ref`) and Phoenix
(`connect_info`).
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from livegate.phoenix.rendered.tree import Tree
from livegate.phoenix.topics import LIVE_TOPIC

type Outcome = Literal["pending", "ok", "error", "crash", "left", "closed", "noreply", "forgotten"]
"""Outcome of a push. `ok`, `error`: status of its reply. `crash`, `left`, `closed`: event that ended the wait for a
reply. `noreply`: a push to a plain channel of a kind that never got a reply (`{:noreply, socket}`). `forgotten`: too
many pushes were pending."""
type PushKind = Literal[
    "join", "event", "patch", "upload", "chunk", "progress", "leave", "heartbeat", "destroy", "push"
]
type ViewState = Literal["joining", "up", "crashed", "left", "refused", "closed"]
type Transport = Literal["websocket", "longpoll"]
type Healed = Literal["", "rejoined", "reconnected", "page reloaded", "reachable again"]
type SessionKind = Literal["tab", "channels"]
"""A browser tab with LiveViews, or a socket that carries channels only (docs/topics/sessions.md)."""

MAX_EVENTS_NAMED = 10
"""Event names kept per incident; further ones are counted."""
MAX_EXCHANGES = 200
"""HTTP requests kept per session; the oldest are dropped."""
MAX_ROUND_TRIPS = 64
"""Latest round trips kept per session or socket, for percentiles."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of a `SessionStore`. Beyond them the oldest values are evicted."""

    sessions: int = 1000
    pushes: int = 200
    """Kept per session."""
    all_pushes: int = 20_000
    """Kept for all sessions together."""
    exchanges: int = 20_000
    """HTTP requests kept for all sessions together."""
    pending: int = 500
    """Pushes per socket that wait for a reply."""
    views: int = 100
    """Channels per session."""
    page_loads: int = 1000
    """Page loads that are not part of a session yet."""
    tree_bytes: int = 16 * 1024 * 1024
    """Estimated memory of all rendered trees together."""


class Push(Struct, gc=False):
    """One push of the client and its reply (phoenix.js `Push`)."""

    kind: PushKind
    name: str
    """Name of an event, path of a patch, view of a join."""
    type: str
    """Type of an event as LiveView's client sends it (click, form, hook, keydown), `patch`, `upload`, or empty."""
    view: str
    topic: str
    join_ref: str | None
    ref: str | None
    sent_at: float
    size: int
    replied_at: float | None = None
    outcome: Outcome = "pending"
    reply_size: int = 0
    diff_size: int = 0
    paths: int = 0
    """Places of the page that its diff changed."""
    detail: str = ""
    """Target of a redirect, or the reason of an error."""
    reported_late: bool = False
    """Whether an incident has reported that its reply took longer than the client waits."""

    @property
    def round_trip(self) -> float | None:
        """Seconds from the push to its reply, as seen by the gateway; None without a reply."""
        return None if self.replied_at is None else self.replied_at - self.sent_at


@dataclass(slots=True)
class View:
    """One channel: of a LiveView, of an upload, or a plain one."""

    topic: str
    name: str = ""
    """File name of an upload's channel."""
    module: str | None = None
    """Module such as `DemoWeb.CountLive`, from the signed session of the page."""
    path: str | None = None
    """Path of the page; None for a nested view."""
    version: str | None = None
    """LiveView's version on the server, which sends it from 0.20.15 on."""
    modern_client: bool | None = None
    """Whether the client is LiveView 1.0 or later, which sends `_mount_attempts` with each join."""
    join_ref: str | None = None
    """Ref of its current join."""
    state: ViewState = "joining"
    joins: int = 0
    rejoins: bool = False
    """Whether its current join follows a crash, a refusal or a lost socket."""
    crashes: int = 0
    join_sent_at: float = 0.0
    joined_at: float = 0.0
    """Time of the reply to its current join."""
    module_is_signed: bool = False
    """Whether the module is that of its own signed session, instead of one looked up in `ModuleIndex`."""
    leaving: bool = False
    """Whether the client has left it. Its page is dropped with that of the view that contained it."""
    tree: Tree | None = None
    tree_problem: str | None = None
    """Reason why there is no tree, as a text for people."""
    tree_bytes: int = 0

    @property
    def is_live(self) -> bool:
        """Whether this is the channel of a LiveView."""
        return self.topic.startswith(LIVE_TOPIC)

    @property
    def label(self) -> str:
        """Short name for people: the last part of the module, else the file or path, else the topic."""
        if self.module:
            return self.module.rpartition(".")[2]
        return self.name or self.path or self.topic


@dataclass(slots=True)
class Upload:
    """One file that is being uploaded."""

    name: str
    size: int
    sent: int = 0
    chunks: int = 0
    progress: int = 0
    """Per cent, as the client reports it."""
    started_at: float = 0.0
    last_chunk_at: float = 0.0
    error: str = ""

    @property
    def rate(self) -> float | None:
        """Bytes per second between its first and last chunk; None before the second one."""
        elapsed = self.last_chunk_at - self.started_at
        return self.sent / elapsed if self.chunks > 1 and elapsed > 0 else None


@dataclass(slots=True)
class SocketInfo:
    """One connection of a session: a WebSocket or a long-poll session."""

    transport: Transport
    vsn: str
    opened_at: float
    id: str = ""
    """Identifier that the caller gave it."""
    last_frame_at: float = 0.0
    """Time of the last frame in either direction."""
    closed_at: float | None = None
    close_code: int | None = None
    close_reason: str = ""
    closed_by: str = ""
    heartbeats: int = 0
    """Sent by the client."""
    refused_status: int | None = None
    """Status in the body of the last long-poll response, if the app refused the request (403 and others)."""
    events: int = 0
    """Events and patches of this connection; so are the next counts."""
    crashes: int = 0
    refused: int = 0
    unanswered: int = 0
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ROUND_TRIPS))
    """Round trips of its last events and patches, in seconds."""


@dataclass(frozen=True, slots=True)
class ConnectInfo:
    """Part of Phoenix' `connect_info` of a socket: what the app can find the user's session with."""

    csrf: bool
    """Whether the URL has a `_csrf_token`."""
    cookie: bool | None
    """Whether the request had a cookie; None if unknown."""
    client: str = ""
    """Generation of LiveView's client, a `page_html.ClientGeneration`."""


class HttpExchange(Struct, frozen=True, gc=False):
    """One HTTP request of a session and its response."""

    id: str
    """Identifier that the caller gave it."""
    at: float
    method: str
    path: str
    """Without the query."""
    status: int | None
    """None without a response."""
    seconds: float
    size: int
    """Bytes of the response body."""


def _exchanges() -> deque[HttpExchange]:
    return deque(maxlen=MAX_EXCHANGES)


@dataclass(slots=True)
class PageLoad:
    """The page that a session began with, as an HTTP response."""

    path: str
    status: int
    at: float
    seconds: float
    number: int = 0
    """Number of the session that it becomes."""
    host: str = ""
    """Host that the browser requested. A session never spans hosts."""
    topics: tuple[str, ...] = ()
    """Topics of its LiveViews, in the order of the page."""
    exchanges: deque[HttpExchange] = field(default_factory=_exchanges)
    """Its own request and those that it caused."""
    refused_loads_before: int = 0
    """Loads of this page by the same browser directly before, each of which ended in a refused join."""
    earlier_sessions: tuple["Session", ...] = ()
    """Sessions of the same page whose incidents are healed once this load has joined."""
    websocket_failed: bool = False
    """Whether a WebSocket upgrade failed for this page, or for the page before, which fell back to long-poll."""


class Incident(Struct):
    """Failure that a user notices: what happened to which view, why, what to do, and when the user could go on."""

    slug: str
    """Stable name of the kind of incident, see docs/reference/causes.md."""
    title: str
    why: str
    todo: str
    """Advice; code stands between backticks."""
    at: float
    kind: Literal["liveview", "closed", "refused"] = "liveview"
    """Found in frames, at the close of a socket, or at a refused request."""
    number: int = 0
    """Number within the process, from 1; 0 until reported."""
    session: int | None = None
    """Number of the session."""
    socket: str = ""
    """`SocketInfo.id` of the socket."""
    topic: str = ""
    view: str = ""
    """Label of the view or channel; empty if the incident is not about one."""
    module: str | None = None
    path: str | None = None
    parent: str = ""
    """Label of the page's own view, if the view is nested."""
    events: tuple[str, ...] = ()
    """Names of pending events that get no reply."""
    more_events: int = 0
    """Events beyond MAX_EVENTS_NAMED."""
    times: int = 1
    """Occurrences so far, because a client retries."""
    healed_at: float | None = None
    healed: Healed = ""
    last_at: float = 0.0
    """Time of the last request that failed because of an outage."""

    def with_events(self, names: Sequence[str]) -> "Incident":
        """Set the names of events that get no reply; return the incident itself."""
        self.events, self.more_events = tuple(names[:MAX_EVENTS_NAMED]), len(names[MAX_EVENTS_NAMED:])
        return self

    @property
    def cost_s(self) -> float | None:
        """Seconds until the user could go on; None while it has not healed."""
        return None if self.healed_at is None else max(0.0, self.healed_at - self.at)

    @property
    def text(self) -> str:
        """One line for people: title, view, reason."""
        of = f" · {self.view}" if self.view else ""
        return f"{self.title}{of}: {self.why}"


@dataclass(slots=True)
class Session:
    """One browser tab with its page load and all its sockets; or a socket that carries channels only."""

    number: int
    """Number within the process, from 1."""
    id: str
    """Element id of the LiveView that was joined first, or the topic of a channel."""
    opened_at: float
    last_frame_at: float
    kind: SessionKind = "tab"
    host: str = ""
    csrf: bytes | None = None
    """Keyed hash of the CSRF token in the URLs of its sockets."""
    page_load: PageLoad | None = None
    exchanges: deque[HttpExchange] = field(default_factory=_exchanges)
    """The last HTTP requests of this tab."""
    is_stored: bool = True
    """False once evicted from the store. Its frames are still tracked, but without its page."""
    views: dict[str, View] = field(default_factory=dict)
    sockets: list[SocketInfo] = field(default_factory=list)
    connect_info: ConnectInfo | None = None
    """That of its last socket."""
    pushes: deque[Push] = field(default_factory=deque)
    pushes_dropped: int = 0
    event_count: int = 0
    """Events and patches since the start, evicted ones included."""
    uploads: dict[str, Upload] = field(default_factory=dict)
    """By the ref of the upload entry."""
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ROUND_TRIPS))
    """Round trips of the last events and patches with a reply, in seconds."""
    heartbeats: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    """Round trips of the last heartbeats, in seconds."""
    crashes: int = 0
    rejoins: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    incidents: deque[Incident] = field(default_factory=deque)
    """The last `incidents.log.MAX_INCIDENTS`, oldest first."""
    incidents_dropped: int = 0
    unanswered: int = 0
    pushed_diffs: int = 0
    """Diffs that the server sent without a push of the client."""
    diff_bytes: int = 0
    """Bytes of all diffs."""
    bytes_in: int = 0
    """Bytes from the client."""
    bytes_out: int = 0

    @property
    def main(self) -> View | None:
        """View of the page itself: the first with a path, else the first LiveView."""
        first = None
        for topic, view in self.views.items():
            if topic.startswith(LIVE_TOPIC):
                if view.path:
                    return view
                first = first or view
        return first

    @property
    def is_open(self) -> bool:
        """Whether any of its sockets is open."""
        return any(socket.closed_at is None for socket in self.sockets)

    @property
    def state(self) -> str:
        """One of refused, crashed, live, closed."""
        main = self.main
        if main is not None and main.state in ("refused", "crashed"):
            return main.state
        open_sockets = [socket for socket in self.sockets if socket.closed_at is None]
        if open_sockets and all(socket.refused_status is not None for socket in open_sockets):
            return "refused"
        return "live" if open_sockets else "closed"

    @property
    def label(self) -> str:
        """Short name for people: that of its main view, else of its first channel."""
        main = self.main
        if main is not None:
            return main.label
        return next((view.label for view in self.views.values()), self.id)

    def round_trips_by_event(self) -> dict[tuple[str, str], list[float]]:
        """Return the round trips in seconds of all kept events and patches, by view and name."""
        round_trips: dict[tuple[str, str], list[float]] = {}
        for event in self.pushes:
            if event.kind in ("event", "patch") and event.round_trip is not None:
                round_trips.setdefault((event.view, event.name), []).append(event.round_trip)
        return round_trips


def percentile(values: Collection[float], fraction: float) -> float | None:
    """Return the nearest-rank percentile, None without values; `fraction` is 0 to 1."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * fraction // 1))
    return ordered[int(rank) - 1]

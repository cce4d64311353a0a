"""What is known of the LiveView sessions that went by: values that the tracker fills in and others read."""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from livegate.phoenix.rendered.tree import Tree
from livegate.phoenix.topics import LIVE_TOPIC

type Outcome = Literal["pending", "ok", "error", "crash", "left", "closed", "noreply", "forgotten"]
"""Of a push: answered ok or with an error; never answered because the channel crashed, was left, or the socket closed;
`noreply` for a push of a plain channel whose kind was never seen to be answered (`{:noreply, socket}`); forgotten when
too many others were pending."""
type PushKind = Literal[
    "join", "event", "patch", "upload", "chunk", "progress", "leave", "heartbeat", "destroy", "push"
]
type ViewState = Literal["joining", "up", "crashed", "left", "refused", "closed"]
type Transport = Literal["websocket", "longpoll"]
type Healed = Literal["", "rejoined", "reconnected", "page reloaded", "reachable again"]
type SessionKind = Literal["tab", "channels"]
"""A browser tab with LiveViews, or a socket that carries channels only (docs/sessions.md)."""


MAX_EVENTS_NAMED = 10
"""Of one incident: events that are kept by name."""
MAX_EXCHANGES = 200
"""HTTP requests of a session that are kept."""
MAX_ROUND_TRIPS = 64
"""Round trips of a session that its percentiles are taken from, the last ones."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How much is kept; what is older goes first, and is counted."""

    sessions: int = 1000
    pushes: int = 200
    """Of one session."""
    all_pushes: int = 20_000
    """Of all sessions together."""
    exchanges: int = 20_000
    """HTTP requests of all sessions together."""
    pending: int = 500
    """Pushes of one socket without an answer."""
    views: int = 100
    """Channels of one session."""
    page_loads: int = 1000
    """Page loads that no session has claimed yet."""
    tree_bytes: int = 16 * 1024 * 1024
    """Held by the pages of all sessions."""


class Push(Struct, gc=False):
    """One push of the client, and what became of it. Times in seconds of the caller's clock, sizes in bytes."""

    kind: PushKind
    name: str
    """The event's name, for a patch its path, for a join the view."""
    type: str
    """What made it: click, form, hook, keydown and so on; else empty."""
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
    """How many places of the page its diff has touched."""
    detail: str = ""
    """Where it led (a redirect), or why it was refused."""
    reported_late: bool = False
    """Whether it waited for its answer for longer than the client does, and that has been reported."""

    @property
    def round_trip(self) -> float | None:
        """Seconds until its answer, as seen here."""
        return None if self.replied_at is None else self.replied_at - self.sent_at


@dataclass(slots=True)
class View:
    """One channel: a LiveView, an upload, or any other."""

    topic: str
    name: str = ""
    """Of an upload's channel: the file."""
    module: str | None = None
    """Such as `DemoWeb.CountLive`, from the signed session that the page carries."""
    path: str | None = None
    """Of the page; a child view has none."""
    version: str | None = None
    """Of LiveView on the server, where it tells (0.20.15 on)."""
    modern_client: bool | None = None
    """Whether the client is LiveView 1.0 or later: it tells how often it tried to mount."""
    join_ref: str | None = None
    state: ViewState = "joining"
    joins: int = 0
    rejoins: bool = False
    """Whether its last join was one after a crash, a refusal or a lost socket."""
    crashes: int = 0
    join_sent_at: float = 0.0
    """When its last join was asked for, and `joined_at` when that was answered."""
    joined_at: float = 0.0
    module_is_signed: bool = False
    """Whether its own token has told the module."""
    leaving: bool = False
    """Whether the client has left it: its page goes with that of the view that it stood in."""
    tree: Tree | None = None
    tree_problem: str | None = None
    """Why the page cannot be shown."""
    tree_bytes: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it is a LiveView."""
        return self.topic.startswith(LIVE_TOPIC)

    @property
    def label(self) -> str:
        """What a person calls it: the last part of its module, else its path, else its topic."""
        if self.module:
            return self.module.rpartition(".")[2]
        return self.name or self.path or self.topic


@dataclass(slots=True)
class Upload:
    """One file on its way up."""

    name: str
    size: int
    sent: int = 0
    chunks: int = 0
    progress: int = 0
    """Per cent, as the client tells."""
    started_at: float = 0.0
    last_chunk_at: float = 0.0
    error: str = ""

    @property
    def rate(self) -> float | None:
        """Bytes per second while it was sent; None before the second chunk."""
        elapsed = self.last_chunk_at - self.started_at
        return self.sent / elapsed if self.chunks > 1 and elapsed > 0 else None


@dataclass(slots=True)
class SocketInfo:
    """One connection of a session."""

    transport: Transport
    vsn: str
    opened_at: float
    id: str = ""
    """As whoever carries the frames calls it."""
    last_frame_at: float = 0.0
    """When a frame last went over it, either way."""
    closed_at: float | None = None
    close_code: int | None = None
    close_reason: str = ""
    closed_by: str = ""
    heartbeats: int = 0
    """Sent by the client."""
    refused_status: int | None = None
    """Long-poll: the status that the app gave the last request of the client, when that was a refusal such as 403."""
    events: int = 0
    """Events and patches that were sent over it; the other counts are of this connection as well."""
    crashes: int = 0
    refused: int = 0
    unanswered: int = 0
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ROUND_TRIPS))
    """Round trips of its last events and patches, in seconds."""


@dataclass(frozen=True, slots=True)
class ConnectInfo:
    """What a socket's opening request brought for the app to find the user's session with."""

    csrf: bool
    """Whether `_csrf_token` was among the parameters."""
    cookie: bool | None
    """Whether there was any cookie; None when that is not known."""
    client: str = ""
    """The generation of LiveView's client, `pages.ClientGeneration`."""


class HttpExchange(Struct, frozen=True, gc=False):
    """One HTTP request of a session and its answer. Times in seconds, sizes in bytes."""

    id: str
    """As whoever carries it calls it."""
    at: float
    method: str
    path: str
    """Without the query."""
    status: int | None
    """None when no answer came."""
    seconds: float
    size: int
    """Of the answer's body."""


def _exchanges() -> deque[HttpExchange]:
    return deque(maxlen=MAX_EXCHANGES)


@dataclass(slots=True)
class PageLoad:
    """The HTTP answer that a session began with."""

    path: str
    status: int
    at: float
    seconds: float
    number: int = 0
    """Of the session that it is the beginning of."""
    host: str = ""
    """As the browser named it; sessions of different hosts are never one."""
    topics: tuple[str, ...] = ()
    """Of the LiveViews in it, in its order."""
    exchanges: deque[HttpExchange] = field(default_factory=_exchanges)
    """Its own and those that followed from it."""
    refused_loads_before: int = 0
    """How often in a row, just before, the same browser loaded the same page and its join was refused."""
    earlier_sessions: tuple["Session", ...] = ()
    """Sessions whose incidents this load heals, X."""
    websocket_failed: bool = False
    """Whether an upgrade of this page failed, or of the page before, which then went on with long-poll."""


class Incident(Struct):
    """One moment: what happened, to which view, what it cost the user, whether it healed, and what to do."""

    slug: str
    """The kind of incident; stable, see docs/causes.md."""
    title: str
    why: str
    todo: str
    """What stands between backticks is to be typed as it is."""
    at: float
    kind: Literal["liveview", "closed", "refused"] = "liveview"
    """Where it was found: in frames, at the end of a socket, or at a request that was refused."""
    number: int = 0
    """Counts up over the process; 0 until reported."""
    session: int | None = None
    """The session's number."""
    socket: str = ""
    """The socket's id, as whoever carries the frames calls it."""
    topic: str = ""
    view: str = ""
    """What a person calls the view or channel; empty when the incident is about none."""
    module: str | None = None
    path: str | None = None
    parent: str = ""
    """Of a nested LiveView, the label of the page's own view."""
    events: tuple[str, ...] = ()
    """Names of the events that were pending and will get no answer."""
    more_events: int = 0
    """How many more there were."""
    times: int = 1
    """How often it has happened so far, where a client tries the same again and again."""
    healed_at: float | None = None
    healed: Healed = ""
    last_at: float = 0.0
    """Of an outage: when a request last met it."""

    def with_events(self, names: Sequence[str]) -> "Incident":
        """Name the events that will get no answer; return the incident itself."""
        self.events, self.more_events = tuple(names[:MAX_EVENTS_NAMED]), len(names[MAX_EVENTS_NAMED:])
        return self

    @property
    def cost_s(self) -> float | None:
        """Seconds until the user could go on; None as long as that has not been seen."""
        return None if self.healed_at is None else max(0.0, self.healed_at - self.at)

    @property
    def text(self) -> str:
        """One line: title, view, lost events, why."""
        of = f" · {self.view}" if self.view else ""
        return f"{self.title}{of}: {self.why}"


@dataclass(slots=True)
class Session:
    """One browser tab, from its page load over all its sockets; or a socket that carries channels only."""

    number: int
    """Counts up."""
    id: str
    """Of the LiveView that was joined first, or the topic of a channel."""
    opened_at: float
    last_frame_at: float
    kind: SessionKind = "tab"
    host: str = ""
    csrf: bytes | None = None
    """The CSRF token that its sockets are opened with, as a keyed hash."""
    page_load: PageLoad | None = None
    exchanges: deque[HttpExchange] = field(default_factory=_exchanges)
    """The last ones that are known to be of this tab."""
    is_stored: bool = True
    """Whether the tracker still knows it; one that has gone is followed without its page."""
    views: dict[str, View] = field(default_factory=dict)
    sockets: list[SocketInfo] = field(default_factory=list)
    connect_info: ConnectInfo | None = None
    """Of its last socket."""
    pushes: deque[Push] = field(default_factory=deque)
    pushes_dropped: int = 0
    event_count: int = 0
    """Events and patches of all time."""
    uploads: dict[str, Upload] = field(default_factory=dict)
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_ROUND_TRIPS))
    """Round trips of the last events and patches that were answered, in seconds."""
    heartbeats: deque[float] = field(default_factory=lambda: deque(maxlen=64))
    """Round trips of the transport itself, in seconds."""
    crashes: int = 0
    rejoins: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    incidents: deque[Incident] = field(default_factory=deque)
    """The last `incidents.MAX_INCIDENTS`, the oldest first."""
    incidents_dropped: int = 0
    unanswered: int = 0
    pushed_diffs: int = 0
    """Diffs that the server sent unasked."""
    diff_bytes: int = 0
    """Of all diffs, asked for or not."""
    bytes_in: int = 0
    """From the client."""
    bytes_out: int = 0

    @property
    def main(self) -> View | None:
        """The view of the page itself."""
        first = None
        for topic, view in self.views.items():
            if topic.startswith(LIVE_TOPIC):
                if view.path:
                    return view
                first = first or view
        return first

    @property
    def is_open(self) -> bool:
        """Whether any of its connections is open."""
        return any(socket.closed_at is None for socket in self.sockets)

    @property
    def state(self) -> str:
        """In one word: refused, crashed, live or closed."""
        main = self.main
        if main is not None and main.state in ("refused", "crashed"):
            return main.state
        connected = [socket for socket in self.sockets if socket.closed_at is None]
        if connected and all(socket.refused_status is not None for socket in connected):
            return "refused"
        return "live" if connected else "closed"

    @property
    def label(self) -> str:
        """What a person calls it: its view, or the topic of its first channel."""
        main = self.main
        if main is not None:
            return main.label
        return next((view.label for view in self.views.values()), self.id)

    def round_trips_by_event(self) -> dict[tuple[str, str], list[float]]:
        """Round trips in seconds of all answered events that are kept, by view and event."""
        found: dict[tuple[str, str], list[float]] = {}
        for event in self.pushes:
            if event.kind in ("event", "patch") and event.round_trip is not None:
                found.setdefault((event.view, event.name), []).append(event.round_trip)
        return found


def percentile(values: Collection[float], fraction: float) -> float | None:
    """The nearest-rank percentile; `part` is 0 to 1."""
    if not values:
        return None
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * fraction // 1))
    return ordered[int(rank) - 1]

"""Bodies of the admin API. Those of sessions are in inspect/session_json.py, those of incidents in observe/history/."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from livegate.inspect.json_units import Body, Bytes, Count, Milliseconds, Seconds, Timestamp
from livegate.inspect.session_json import Connection, Event, HttpExchange, SessionRow, Upload, View
from livegate.observe.history.incident_json import Cause, Incident, IncidentEntry
from livegate.observe.history.time_series import IntervalSummary
from livegate.websocket import close_codes


class Error(Body):
    """Reason why the request failed."""

    error: str


class Health(Body):
    """Health of the process."""

    status: Literal["ok"]


class Check(Body):
    """Condition of readiness."""

    name: Literal["settings", "listening", "not draining", "backends"]
    good: bool
    why: str
    """Reason or remark, or empty."""


class Ready(Body):
    """Readiness, with each of its conditions."""

    ready: bool
    checks: list[Check]


class Version(Body):
    """Versions of livegate and mitmproxy."""

    livegate: str
    mitmproxy: str


class Backend(Body):
    """Backend of a service."""

    service: str
    """Its name in the settings."""
    backend: str
    """URL."""
    up: bool
    """true if it accepted a connection in the last five seconds."""
    why: str
    """Reason why it is down, or empty."""


class Routes(Body):
    """Backends in the order of the settings."""

    routes: list[Backend]


class Totals(Body):
    """Totals, and the last quarter of an hour."""

    began: Timestamp
    """Start of the process."""
    draining: bool
    sockets: Count
    """Open WebSockets."""
    sessions: Count
    """Known LiveView sessions."""
    steps: list[IntervalSummary]
    """Intervals of five seconds, oldest first."""


class Overview(Totals):
    """State at a glance."""

    backends: list[Backend]


class Traffic(Body):
    """Messages in one direction."""

    messages: Count
    bytes: Bytes


class Socket(Body):
    """Open WebSocket."""

    id: str
    """Argument of `/api/v1/sockets/{id}/close`."""
    service: str
    path: str
    """Without the query."""
    client: str
    """Address."""
    request: str
    """Id of the upgrade request in the log."""
    age: Seconds
    quiet: Seconds
    """Time since the last activity."""
    up: Traffic
    """From the client."""
    down: Traffic
    """To the client."""
    closing: bool


class Sockets(Body):
    """Part of the list of open WebSockets, oldest first."""

    sockets: list[Socket]
    open: Count
    """Length of the whole list."""
    more: bool
    """true if the list goes on."""


class Close(Body):
    """Close frame for both ends."""

    code: int = close_codes.SERVICE_RESTART
    """1000-1003, 1007-1014 or 3000-4999."""
    reason: str = "closed by an operator"
    """At most 123 bytes of UTF-8."""


class Closing(Body):
    """Acknowledgement; the close frames are being sent."""

    closing: str
    """Id of the socket."""
    code: Count


class Drain(Body):
    """Command without arguments."""


class Draining(Body):
    """Acknowledgement; the process is shutting down."""

    draining: Literal[True]


class SessionList(Body):
    """Part of the list of sessions, by number."""

    sessions: list[SessionRow]
    more: bool
    """true if the list goes on."""


class FrameRange(Body):
    """Numbers of the recorded frames. If both are equal, none is recorded."""

    first: Count
    end: Count
    """Number of the next frame."""


class SessionDetail(SessionRow):
    """Session with everything but its frames."""

    heartbeat: Milliseconds | None
    """Median round trip of the transport itself."""
    server_pushes: Count
    """Diffs that the server pushed on its own."""
    events_dropped: Count
    """Evicted events, which are missing in `list`."""
    refusals: dict[str, Count]
    """Number of refused joins by reason."""
    connections: list[Connection]
    views: list[View]
    uploads: list[Upload]
    http: list[HttpExchange]
    causes: list[Cause]
    """Causes of `incidents`, in their order."""
    incidents: list[Incident]
    """Last 100 incidents, oldest first."""
    incidents_dropped: Count
    """Evicted incidents."""
    frames: FrameRange
    list: list[Event]
    """Last events, oldest first."""


class Frame(Body):
    """Frame of a Phoenix socket."""

    n: Count
    """Number in the session, from 0."""
    kind: Literal["frame"]
    at: Timestamp
    session: Count
    flow: str
    """Id of mitmproxy's flow."""
    socket: str
    """Id of the session's connection."""
    dir: Literal["up", "down"]
    """up: from the client."""
    size: Bytes
    what: str
    """Meaning, such as join, event, reply, diff or crash."""
    text: str
    """Summary in one line."""
    view: str | None
    event: str | None
    ref: str | None
    ms: Milliseconds | None
    """Round trip, on the reply."""
    outcome: str | None
    diff: Bytes
    push: str | None
    """Kind of the push that this frame is, or replies to; null for what the server sends on its own."""


class Frames(Body):
    """Recorded frames, oldest first."""

    frames: list[Frame]


class PageHtml(Body):
    """HTML of a page at one moment."""

    html: str
    why: str
    """Reason why the page is not known, or empty."""


class FrameDetail(Body):
    """Frame with its content, and the page before and after it. Redacted."""

    line: Frame
    raw: str
    """Content of the frame."""
    changes: list[str]
    """Changes of the page, one per line."""
    page: PageHtml
    before: PageHtml


class Style(Body):
    """Stylesheets of a session's page, redacted. Empty if none was seen."""

    css: str
    """All stylesheets, concatenated."""
    html: dict[str, str]
    """Attributes of the html element."""
    body: dict[str, str]
    """Attributes of the body element."""


class Incidents(Body):
    """Last 500 entries of each kind, oldest first."""

    incidents: list[IncidentEntry]


class SettingsBody(Body):
    """Settings in force, with defaults, without secrets."""

    settings: Annotated[dict[str, Any], Meta(extra_json_schema={"$ref": "#/components/schemas/Settings"})]

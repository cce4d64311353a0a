"""Sessions as JSON bodies, for the admin API and the `liveview.*` commands.

The functions copy what they read, so that the result can leave the event loop. Texts are not redacted yet.
"""

from typing import Annotated, Literal

from msgspec import Meta

from livegate.inspect.json_units import Body, Bytes, Count, Milliseconds, Side, Timestamp, copied, milliseconds
from livegate.phoenix import model
from livegate.phoenix.model import percentile


class View(Body):
    """LiveView, or another channel of a session."""

    topic: str
    module: str | None
    """Such as `DemoWeb.CountLive`."""
    path: str | None
    version: str | None
    """LiveView's version on the server."""
    state: model.ViewState
    joins: Count
    crashes: Count


class Connection(Body):
    """One connection of a session. Its counts are of this connection alone."""

    id: str
    """The `socket` of its frames."""
    transport: model.Transport
    vsn: str
    opened_at: Timestamp
    closed_at: Timestamp | None
    close_code: Count | None
    close_reason: str
    closed_by: Side
    """Empty while it is open."""
    refused_status: Count | None
    """Long-poll: status of the app's response when it refuses what the client sends, such as 403."""
    events: Count
    """Events and patches sent over it."""
    crashes: Count
    refused: Count
    unanswered: Count
    p95: Milliseconds | None
    """Round trip of its last events."""
    heartbeats: Count
    """Heartbeats from the client."""


class Event(Body):
    """Push of the client, with its outcome."""

    kind: model.PushKind
    name: str
    type: str
    """click, form, hook, keydown and so on."""
    view: str
    ref: str | None
    at: Timestamp
    ms: Milliseconds | None
    """Round trip; null without a reply."""
    outcome: model.Outcome
    diff: Bytes
    paths: Count
    """Places of the page that its diff changed."""
    detail: str
    """Target of its redirect, or the reason of a refusal."""


class Upload(Body):
    """File on its way to the app."""

    name: str
    size: Bytes
    sent: Bytes
    chunks: Count
    progress: Count
    """Per cent."""
    rate: float | None
    """Bytes per second."""
    error: str


class HttpExchange(Body):
    """HTTP request of a session, and its response."""

    id: str
    """Id of mitmproxy's flow."""
    at: Timestamp
    method: str
    path: str
    status: Count | None
    ms: Milliseconds | None
    size: Bytes
    """Body of the response."""


class SessionRow(Body):
    """LiveView session (one browser tab) in a table."""

    number: Count
    """Counts up from 1."""
    kind: model.SessionKind
    """Browser tab with LiveViews, or a socket that carries other channels only."""
    service: str
    """Its label in the metrics."""
    host: str
    """Host in the browser's address; empty if unknown."""
    view: str
    """Last part of the module's name, else the path, else the topic."""
    title: str
    """Title of the page, if its LiveView has set one."""
    module: str | None
    """Such as `DemoWeb.CountLive`."""
    path: str
    version: str | None
    """LiveView's version on the server."""
    transport: model.Transport | Literal[""]
    """Transport of the last connection, or empty."""
    sockets: Count
    """Connections so far."""
    opened: Timestamp
    last: Timestamp
    """Last activity."""
    events: Count
    """Events and patches so far."""
    p50: Milliseconds | None
    p95: Milliseconds | None
    diff: Bytes
    """Size of all diffs."""
    up: Bytes
    """From the client."""
    down: Bytes
    """To the client."""
    crashes: Count
    rejoins: Count
    refused: Count
    """Refused joins."""
    unanswered: Count
    """Pushes without a reply."""
    incident_count: Count
    """Incidents so far."""
    state: Annotated[str, Meta(extra_json_schema={"enum": ["live", "closed", "crashed", "refused"]})]


def session_row(session: model.Session, service: str) -> SessionRow:
    """Return the row of a session."""
    main, trips = session.main, session.round_trips
    tree = main.tree if main is not None else None
    return SessionRow(
        number=session.number,
        kind=session.kind,
        service=service,
        host=session.host,
        view=session.label,
        title=(tree.title if tree is not None else None) or "",
        module=main.module if main is not None else None,
        path=(main.path or "") if main is not None else "",
        version=main.version if main is not None else None,
        transport=session.sockets[-1].transport if session.sockets else "",
        sockets=len(session.sockets),
        opened=session.opened_at,
        last=session.last_frame_at,
        events=session.event_count,
        p50=milliseconds(percentile(trips, 0.5)),
        p95=milliseconds(percentile(trips, 0.95)),
        diff=session.diff_bytes,
        up=session.bytes_in,
        down=session.bytes_out,
        crashes=session.crashes,
        rejoins=session.rejoins,
        refused=sum(session.refusals.values()),
        unanswered=session.unanswered,
        incident_count=len(session.incidents) + session.incidents_dropped,
        state=session.state,
    )


def view_json(view: model.View) -> View:
    """Return a view."""
    return copied(View, view)


def connection_json(socket: model.SocketInfo) -> Connection:
    """Return a connection."""
    return copied(Connection, socket, p95=milliseconds(percentile(socket.round_trips, 0.95)))


def event_json(push: model.Push) -> Event:
    """Return a push of the client."""
    return Event(
        kind=push.kind,
        name=push.name,
        type=push.type,
        view=push.view,
        ref=push.ref,
        at=push.sent_at,
        ms=milliseconds(push.round_trip),
        outcome=push.outcome,
        diff=push.diff_size,
        paths=push.paths,
        detail=push.detail,
    )


def upload_json(upload: model.Upload) -> Upload:
    """Return an upload."""
    return copied(Upload, upload)


def exchange_json(exchange: model.HttpExchange) -> HttpExchange:
    """Return an HTTP exchange."""
    return copied(HttpExchange, exchange, ms=milliseconds(exchange.seconds))

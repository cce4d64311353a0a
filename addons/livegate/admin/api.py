"""Resources of the admin API as Tornado handlers, and the table of their paths.

`mounted` combines each with a handler class that authenticates requests: that of the admin listener or of mitmweb.
page/openapi.json and docs/reference/api.md are generated from the table, the annotations and the docstrings.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from mitmproxy import version
from tornado import web

from livegate import __version__
from livegate.admin import bodies
from livegate.admin.frame_search import matching
from livegate.admin.handlers import ApiError, Command, Parameter, Read, Resource
from livegate.admin.session_export import Pages, export_page
from livegate.admin.state import NotFoundError
from livegate.redaction.printable import printable
from livegate.websocket import close_codes

MAX_ROWS = 500
MAX_FRAMES = 500
MAX_SOCKETS = 1000
MAX_SEARCH_CHARACTERS = 200
MAX_EXPORTED_BYTES = 24 * 1024 * 1024
"""Size of one export. Beyond, frames have no content, because browsers open larger files slowly."""

# Health and metrics


class MetricsHandler(Read):
    """Metrics for Prometheus, in text format 0.0.4."""

    content_type = "text/plain; version=0.0.4"

    async def read(self) -> bytes:
        await self.state.probes.probe_unreachable()
        await self.state.bridge.call(self.state.metrics.refresh)
        return self.state.metrics.text()


class HealthHandler(Read):
    """Liveness: 200 if the event loop responds, else 503."""

    async def read(self) -> bodies.Health:
        await self.state.bridge.call(lambda: None)
        return bodies.Health("ok")


class ReadyHandler(Read):
    """Readiness: 200 or 503.

    The gateway is ready if its settings are loaded, it listens, it is not draining, and backends accept connections.
    """

    query = (Parameter("backends", "Backends that must be up: at least one, or all.", "any", choices=("any", "all")),)

    async def read(self) -> bodies.Ready:
        backends = self.get_query_argument("backends", "any")
        if backends not in self.query[0].choices:
            raise ApiError(400, "backends must be any or all")
        readiness = await self.state.readiness(every_backend=backends == "all")
        self.status = 200 if readiness.ready else 503
        return readiness


class VersionHandler(Read):
    """Versions of livegate and mitmproxy."""

    async def read(self) -> bodies.Version:
        return bodies.Version(__version__, version.VERSION)


# State


class OverviewHandler(Read):
    """State at a glance."""

    async def read(self) -> bodies.Overview:
        return await self.state.overview()


class RoutesHandler(Read):
    """Services and the state of their backends."""

    async def read(self) -> bodies.Routes:
        return bodies.Routes(await self.state.probes.states())


class SocketsHandler(Read):
    """Open WebSockets."""

    query = (
        Parameter("from", "Number of WebSockets to skip."),
        Parameter("count", "Maximum number of WebSockets.", 500, MAX_SOCKETS),
    )

    async def read(self) -> bodies.Sockets:
        start, count = self.integer("from"), self.integer("count")
        sockets, total = await self.state.sockets(start, count)
        return bodies.Sockets(sockets, total, start + count < total)


class IncidentsHandler(Read):
    """Refused requests, ended sockets and incidents in LiveViews, with their causes."""

    query = (Parameter("after", "Only entries with a greater id."),)

    async def read(self) -> bodies.Incidents:
        after = self.integer("after")
        entries = await self.state.bridge.call(lambda: self.state.history.feed.entries)
        return bodies.Incidents([each for each in entries if each.id > after])


class SettingsHandler(Read):
    """Settings in force, with defaults, without secrets."""

    async def read(self) -> bodies.SettingsBody:
        return self.state.redactor.redact(bodies.SettingsBody(await self.state.bridge.call(self.state.settings_json)))


# Sessions


class SessionsHandler(Read):
    """LiveView sessions, in the order of their numbers."""

    query = (
        Parameter("after", "Only sessions with a greater number."),
        Parameter("limit", "Maximum number of sessions.", MAX_ROWS, MAX_ROWS),
    )

    async def read(self) -> bodies.SessionList:
        after, limit = self.integer("after"), self.integer("limit")
        known = await self.state.bridge.call(self.state.history.session_numbers)
        numbers = sorted(number for number in known if number > after)
        return bodies.SessionList(await self.state.rows(numbers[:limit]), len(numbers) > limit)


class SessionHandler(Read):
    """One session, without its frames."""

    async def read(self, number: str) -> bodies.SessionDetail:
        return await self.state.detail(int(number))


class FramesHandler(Read):
    """Recorded frames of a session."""

    query = (
        Parameter("from", "Number of the first frame."),
        Parameter("count", "Maximum number of frames.", MAX_FRAMES, MAX_FRAMES),
        Parameter(
            "q",
            "Words. Of the selected frames, only those that contain each word in their summary, event, view or content "
            "are returned. Content is searched after redaction, and up to 4 MiB.",
            "",
            MAX_SEARCH_CHARACTERS,
        ),
    )

    async def read(self, number: str) -> bodies.Frames:
        start, count, text = self.integer("from"), self.integer("count"), self.get_query_argument("q", "")
        if len(text) > MAX_SEARCH_CHARACTERS:
            raise ApiError(400, f"q must have at most {MAX_SEARCH_CHARACTERS} characters")
        if await self.state.bridge.call(self.state.history.session, int(number)) is None:
            raise NotFoundError(f"no session {number}")
        frames, words = await self.state.frames(int(number), start, count), text.lower().split()
        return bodies.Frames(await matching(self.state, int(number), frames, words) if words else frames)


class FrameHandler(Read):
    """One frame, and the page before and after it."""

    async def read(self, number: str, frame: str) -> bodies.FrameDetail:
        return await self.state.frame(int(number), int(frame))


class StyleHandler(Read):
    """Stylesheets of a session's page."""

    async def read(self, number: str) -> bodies.Style:
        return await self.state.style(int(number))


class ExportHandler(Read):
    """Session as one self-contained HTML file.

    It has the last 500 frames, and the content of as many of them as fit into 24 MiB.
    """

    content_type = "text/html"

    async def read(self, number: str) -> bytes:
        detail = await self.state.detail(int(number))
        first = max(detail.frames.first, detail.frames.end - MAX_FRAMES)
        frames = await self.state.frames(int(number), first, MAX_FRAMES)
        pages = Pages(MAX_EXPORTED_BYTES)
        full = []
        for frame in frames:
            with contextlib.suppress(NotFoundError):  # evicted meanwhile
                full.append(pages.add(await self.state.frame(int(number), frame.n)))
        style = await self.state.style(int(number))
        self.set_header("Content-Disposition", f'attachment; filename="livegate-session-{int(number)}.html"')
        return export_page({"session": detail, "frames": frames, "full": full, "pages": pages.texts, "style": style})


# Commands


class CloseHandler(Command):
    """Close a WebSocket with a close frame to both ends."""

    body = bodies.Close

    async def run(self, close: bodies.Close, socket: str) -> bodies.Closing:
        if not close_codes.is_sendable(close.code):
            raise ApiError(400, "code must be 1000-1003, 1007-1014 or 3000-4999")
        if len(close.reason.encode()) > close_codes.MAX_REASON_BYTES:
            raise ApiError(400, f"reason must have at most {close_codes.MAX_REASON_BYTES} bytes of UTF-8")
        if not await self.state.bridge.call(self.state.close_socket, socket, close.code, close.reason):
            raise NotFoundError("no such WebSocket is open")
        return bodies.Closing(socket, close.code)


class DrainHandler(Command):
    """Shut the process down gracefully, as SIGTERM does."""

    body = bodies.Drain

    async def run(self, _: bodies.Drain) -> bodies.Draining:
        await self.state.bridge.call(self.state.drain)
        return bodies.Draining(draining=True)


class UnknownPath(Resource):
    """Any other path below /api."""

    def get(self) -> None:
        """Refuse."""
        self.refuse(404, f"no such path: {printable(self.request.path, 100)}")

    head = post = put = patch = delete = options = get


RESOURCES: dict[str, dict[str, type[Read | Command]]] = {
    "Health and metrics": {
        "/metrics": MetricsHandler,
        "/healthz": HealthHandler,
        "/readyz": ReadyHandler,
        "/version": VersionHandler,
    },
    "State": {
        "/api/v1/overview": OverviewHandler,
        "/api/v1/routes": RoutesHandler,
        "/api/v1/sockets": SocketsHandler,
        "/api/v1/incidents": IncidentsHandler,
        "/api/v1/settings": SettingsHandler,
    },
    "Sessions": {
        "/api/v1/sessions": SessionsHandler,
        "/api/v1/sessions/{number}": SessionHandler,
        "/api/v1/sessions/{number}/frames": FramesHandler,
        "/api/v1/sessions/{number}/frames/{frame}": FrameHandler,
        "/api/v1/sessions/{number}/style": StyleHandler,
        "/api/v1/sessions/{number}/export": ExportHandler,
    },
    "Commands": {
        "/api/v1/sockets/{id}/close": CloseHandler,
        "/api/v1/drain": DrainHandler,
    },
}
"""Resources by tag and path."""
DEPRECATED = {"/api/v1/sessions/{number}/dress": "/api/v1/sessions/{number}/style"}
"""Old paths with the new ones; they are removed with version 2 of the API."""
PLACEHOLDERS = {"number": r"\d{1,15}", "frame": r"\d{1,15}", "id": "[^/]{1,100}"}


def mounted(
    base: type[web.RequestHandler], arguments: dict[str, Any], *, prefix: str = "", only: type[Resource] = Resource
) -> Iterator[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """Return Tornado's rules for resources of one kind, each combined with a base class that authenticates."""
    resources = {path: resource for group in RESOURCES.values() for path, resource in group.items()}
    resources |= {old: resources[new] for old, new in DEPRECATED.items()}
    for path, resource in resources.items():
        if issubclass(resource, only):
            pattern = re.sub(r"\{(\w+)\}", lambda name: f"({PLACEHOLDERS[name[1]]})", path)
            yield prefix + pattern, type(resource.__name__, (resource, base), {}), arguments
    yield f"{prefix}/api/.*", type("UnknownPath", (UnknownPath, base), {}), arguments

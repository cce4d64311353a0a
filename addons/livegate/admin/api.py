"""What the admin listener answers, as a table of paths; documented in page/openapi.json."""

import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from mitmproxy import version

from livegate import __version__
from livegate.admin import serializers
from livegate.admin.export import Pages, export_page
from livegate.admin.frame_search import matching
from livegate.admin.loop_bridge import GatewayUnresponsiveError
from livegate.admin.state import GatewayState
from livegate.inspect.text import changes_text, raw_text
from livegate.lenient_json import json_bytes
from livegate.observe.history.stylesheets import page_style
from livegate.phoenix.model import Session
from livegate.phoenix.rendered.tree import TreeError
from livegate.phoenix.sessions.page import Page
from livegate.redaction.printable import printable
from livegate.websocket import close_codes

MAX_ROWS = 500
MAX_FRAMES = 500
MAX_SOCKETS = 1000
MAX_BODY_BYTES = 64 * 1024
MAX_NUMBER = 2**53
MAX_SEARCH_CHARACTERS = 200
MAX_EXPORTED_BYTES = 24 * 1024 * 1024
"""Of frames and their pages in one file; later frames come without their pages."""
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


class ProblemError(Exception):
    """The question cannot be answered."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Question:
    """A request, taken apart."""

    parts: tuple[str, ...]
    """What the placeholders of the path stand for."""
    query: dict[str, str]
    body: Any = None

    def number(self, name: str, default: int, *, most: int) -> int:
        """A whole number of the query, from 0 to `most`. Raises ProblemError."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 15:  # noqa: PLR2004 - far beyond any count
            raise ProblemError(400, f"{name} has to be a whole number")
        return min(int(text), most)


type Handler = Callable[[Question], Awaitable[Answer]]


class Api:
    """Finds who answers a path."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self.table: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/metrics", self._metrics),
            ("GET", "/healthz", self._health),
            ("GET", "/readyz", self._ready),
            ("GET", "/version", self._version),
            ("GET", "/api/v1/overview", self._overview),
            ("GET", "/api/v1/routes", self._backends),
            ("GET", "/api/v1/sockets", self._sockets),
            ("POST", "/api/v1/sockets/{id}/close", self._close),
            ("GET", "/api/v1/sessions", self._sessions),
            ("GET", "/api/v1/sessions/{number}", self._session),
            ("GET", "/api/v1/sessions/{number}/frames", self._frames),
            ("GET", "/api/v1/sessions/{number}/frames/{frame}", self._frame),
            ("GET", "/api/v1/sessions/{number}/dress", self._dress),
            ("GET", "/api/v1/sessions/{number}/export", self._export),
            ("GET", "/api/v1/incidents", self._incidents),
            ("GET", "/api/v1/settings", self._settings),
            ("POST", "/api/v1/drain", self._drain),
        )
        """Method, path and who answers."""
        self._routes = [
            (method, re.compile(re.sub(r"\{\w+\}", r"([^/]{1,100})", path)), handler)
            for method, path, handler in self.table
        ]

    async def answer(self, method: str, path: str, query: str = "", body: bytes = b"", kind: str = "") -> Answer:
        """Answer a request with a body of a `kind` (its Content-Type); never raises because of what was asked."""
        try:
            handler, question = self._found(method, path, query, (body, kind))
            return await handler(question)
        except ProblemError as problem:
            return Answer(problem.status, json_bytes({"error": str(problem)}), headers=problem.headers)
        except GatewayUnresponsiveError as problem:
            return Answer(503, json_bytes({"error": str(problem)}))

    def _found(self, method: str, path: str, query: str, given: tuple[bytes, str]) -> tuple[Handler, Question]:
        allowed = []
        for verb, pattern, handler in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            allowed += ["GET", "HEAD"] if verb == "GET" else [verb]
            if method in allowed:
                parts = tuple(unquote(part) for part in match.groups())
                return handler, Question(parts, _query(query), _body(*given) if method == "POST" else None)
        if allowed:
            raise ProblemError(405, f"this takes {', '.join(allowed)} only", Allow=", ".join(allowed))
        raise ProblemError(404, f"there is nothing at {printable(path, 100)}")

    # Health and metrics

    async def _metrics(self, question: Question) -> Answer:
        del question
        await self._state.probes.probe_unreachable()
        await self._state.bridge.call(self._state.metrics.refresh)
        return Answer(200, self._state.metrics.text(), PROMETHEUS)

    async def _health(self, question: Question) -> Answer:
        """That the event loop answers is what is to be known."""
        del question
        await self._state.bridge.call(lambda: None)
        return _json({"status": "ok"})

    async def _ready(self, question: Question) -> Answer:
        wanted = question.query.get("backends", "any")
        if wanted not in ("any", "all"):
            raise ProblemError(400, "backends has to be any or all")
        checks = await self._state.checks(every_backend=wanted == "all")
        ready = all(check.good for check in checks)
        return _json({"ready": ready, "checks": [asdict(check) for check in checks]}, 200 if ready else 503)

    async def _version(self, question: Question) -> Answer:
        del question
        return _json({"livegate": __version__, "mitmproxy": version.VERSION})

    # What there is

    async def _overview(self, question: Question) -> Answer:
        del question
        return _json(
            await self._state.bridge.call(self._state.overview) | {"backends": await self._state.probes.states()}
        )

    async def _backends(self, question: Question) -> Answer:
        del question
        return _json({"routes": await self._state.probes.states()})

    async def _sockets(self, question: Question) -> Answer:
        start, count = question.number("from", 0, most=MAX_NUMBER), question.number("count", 500, most=MAX_SOCKETS)
        opened = await self._state.bridge.call(self._state.open_sockets)
        chosen = opened[start : start + count]
        sockets = await self._state.bridge.call_for_each(chosen, self._state.socket)
        return self._clean({"sockets": sockets, "open": len(opened), "more": start + len(chosen) < len(opened)})

    async def _close(self, question: Question) -> Answer:
        code, reason = _wanted_close(question.body)
        if not await self._state.bridge.call(self._state.close_socket, question.parts[0], code, reason):
            raise ProblemError(404, "no such socket is open")
        return _json({"closing": question.parts[0], "code": code}, 202)

    async def _drain(self, question: Question) -> Answer:
        if question.body:
            raise ProblemError(400, "there is nothing to say about a drain: send no body")
        await self._state.bridge.call(self._state.drain)
        return _json({"draining": True}, 202)

    async def _incidents(self, question: Question) -> Answer:
        after = question.number("after", 0, most=MAX_NUMBER)
        found = await self._state.bridge.call(lambda: self._state.history.feed.entries)
        return _json({"incidents": [each for each in found if each["id"] > after]})

    async def _settings(self, question: Question) -> Answer:
        del question
        return self._clean({"settings": await self._state.bridge.call(self._state.settings_json)})

    # Sessions

    async def _sessions(self, question: Question) -> Answer:
        """All of them, in the order of their numbers; asked for in parts, so that the event loop is not held."""
        after = question.number("after", 0, most=MAX_NUMBER)
        limit = question.number("limit", MAX_ROWS, most=MAX_ROWS)
        numbers = sorted(
            number for number in await self._state.bridge.call(self._state.history.session_numbers) if number > after
        )
        chosen = numbers[:limit]
        return _json({"sessions": await self.rows(chosen), "more": len(numbers) > len(chosen)})

    async def rows(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Rows of the table."""
        found = await self._state.bridge.call_for_each(numbers, self._row)
        return [self._state.redactor.redact(row) for row in found]

    def _row(self, number: int) -> dict[str, Any] | None:
        known: tuple[Session, str] | None = self._state.history.session(number)
        return serializers.row(*known) if known is not None else None

    async def _session(self, question: Question) -> Answer:
        return _json(await self.detail(_number(question)))

    async def detail(self, number: int) -> dict[str, Any]:
        """Of one session. Raises ProblemError."""
        found: dict[str, Any] = self._state.redactor.redact(await self._state.bridge.call(self._detail, number))
        return found

    def _detail(self, number: int) -> dict[str, Any]:
        found = self._state.history.session(number)
        if found is None:
            raise ProblemError(404, f"no session {number} is known")
        first, end = self._state.history.recordings.frame_range(number)
        return serializers.detail(*found) | {"frames": {"first": first, "end": end}}

    async def _frames(self, question: Question) -> Answer:
        start = question.number("from", 0, most=MAX_NUMBER)
        count = question.number("count", MAX_FRAMES, most=MAX_FRAMES)
        number = _number(question)
        if await self._state.bridge.call(self._state.history.session, number) is None:
            raise ProblemError(404, f"no session {number} is known")
        lines = await self.lines(number, start, count)
        words = _words(question.query.get("q", ""))
        return _json({"frames": await matching(self._state, number, lines, words) if words else lines})

    async def lines(self, number: int, start: int, count: int) -> list[dict[str, Any]]:
        """What is told of frames."""
        recording = await self._state.bridge.call(self._state.history.recordings.get, number)
        if recording is None:
            return []
        first, end = await self._state.bridge.call(
            lambda: (max(start, recording.first), min(start + count, recording.next_number))
        )
        lines = await self._state.bridge.call_for_each(range(first, end), recording.line)
        return [self._state.redactor.redact(line) for line in lines]

    async def _frame(self, question: Question) -> Answer:
        number, index = _number(question), _whole(question.parts[1])
        return _json(await self.frame(number, index))

    async def frame(self, number: int, index: int) -> dict[str, Any]:
        """One frame, and the page before and after it. Raises ProblemError."""
        recording = await self._state.bridge.call(self._state.history.recordings.get, number)
        kept, before, line = await self._state.bridge.call(
            lambda: (
                (recording.frame(index), recording.frame(index - 1), recording.line(index))
                if recording is not None
                else (None, None, None)
            )
        )
        if kept is None or line is None:
            raise ProblemError(404, f"frame {index} of session {number} is not kept")
        redactor = self._state.redactor
        return {
            "line": redactor.redact(line),
            "raw": raw_text(kept.data, text=kept.text, redactor=redactor),
            "changes": changes_text(kept.changes, redactor) if kept.changes is not None else [],
            "page": self._page(kept.page),
            "before": self._page(before.page if before is not None else None),
        }

    def _page(self, page: Page | None) -> dict[str, str]:
        if page is None:
            return {"html": "", "why": "no join has been answered yet, or the page could not be followed"}
        try:
            return {"html": self._state.redactor.text(page.html()), "why": ""}
        except TreeError as error:
            return {"html": "", "why": str(error)}

    async def _dress(self, question: Question) -> Answer:
        return _json(await self.dress(_number(question)))

    async def dress(self, number: int) -> dict[str, Any]:
        """How the session's page looks: `css`, and attributes of its `html` and `body`; all empty when not known."""
        found, redactor = (
            page_style(*await self._state.bridge.call(self._state.history.stylesheets.get, number)),
            self._state.redactor,
        )
        attributes = {name: redactor.redact(redactor.json(found[name])) for name in ("html", "body")}
        return {"css": redactor.text(found["css"]), **attributes}

    async def _export(self, question: Question) -> Answer:
        number = _number(question)
        detail = await self.detail(number)
        first, end = detail["frames"]["first"], detail["frames"]["end"]
        first = max(first, end - MAX_FRAMES)
        lines = await self.lines(number, first, MAX_FRAMES)
        pages = Pages(MAX_EXPORTED_BYTES)
        full = []
        for line in lines:
            with contextlib.suppress(ProblemError):  # it has just gone
                full.append(pages.without(await self.frame(number, line["n"])))
        dress = await self.dress(number)
        body = export_page({"session": detail, "frames": lines, "full": full, "pages": pages.texts, "dress": dress})
        name = {"Content-Disposition": f'attachment; filename="livegate-session-{number}.html"'}
        return Answer(200, body, "text/html; charset=utf-8", name)

    def _clean(self, value: dict[str, Any]) -> Answer:
        return _json(self._state.redactor.redact(value))


def _wanted_close(body: Any) -> tuple[int, str]:
    """Code and reason of a close, as they fit into its frame. Raises ProblemError."""
    wanted: dict[str, Any] = {"code": close_codes.SERVICE_RESTART, "reason": "closed by an operator", **_object(body)}
    if wanted.keys() != {"code", "reason"}:
        raise ProblemError(400, "the body has code and reason, and nothing else")
    code, reason = wanted["code"], wanted["reason"]
    if not isinstance(code, int) or isinstance(code, bool) or not close_codes.is_sendable(code):
        raise ProblemError(400, "code has to be one that a close frame may carry: 1000-1003, 1007-1014, 3000-4999")
    try:
        fits = isinstance(reason, str) and len(reason.encode()) <= close_codes.MAX_REASON_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        fits = False
    if not fits:
        raise ProblemError(400, f"reason has to be a text of at most {close_codes.MAX_REASON_BYTES} bytes of UTF-8")
    return code, reason


def _object(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise ProblemError(400, "the body has to be a JSON object")
    return body


def _number(question: Question) -> int:
    return _whole(question.parts[0])


def _words(text: str) -> list[str]:
    """What is searched for, in lower case. Raises ProblemError."""
    if len(text) > MAX_SEARCH_CHARACTERS:
        raise ProblemError(400, f"q has to be a text of at most {MAX_SEARCH_CHARACTERS} characters")
    return text.lower().split()


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:  # noqa: PLR2004 - far beyond any count
        raise ProblemError(404, "numbers are whole here")
    return int(text)


def _query(query: str) -> dict[str, str]:
    try:
        return {name: values[-1] for name, values in parse_qs(query, max_num_fields=20).items()}
    except ValueError:
        raise ProblemError(400, "the query has too many fields") from None


def _body(body: bytes, kind: str) -> Any:
    """What a body says. One of another type than JSON is refused: a page of another site can send that unasked."""
    if len(body) > MAX_BODY_BYTES:
        raise ProblemError(413, "the body is too long")
    if (body or kind) and kind.partition(";")[0].strip().lower() != JSON:
        raise ProblemError(415, f"the body has to be JSON, with Content-Type: {JSON}")
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(400, "the body is not JSON") from None


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json_bytes(value))

"""Redacts mitmweb: its list, its panes and its downloads.

A browser that edits one field returns all of them, with placeholders. Placeholders are replaced by the real values
where they stood. An edit with a placeholder elsewhere is refused, because the backend would receive it.
"""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mitmproxy import http

PLACEHOLDER_PREFIX = "⟪redacted-"
"""Prefix of the placeholder of a redacted value."""
_ENCODED_PREFIXES = (PLACEHOLDER_PREFIX.encode(), b"\\u27earedacted-", b"%e2%9f%aaredacted-")
"""The prefix as text, in JSON, and in a URL or form; lower case."""
EDIT_REFUSED = "The edit contains redacted values. Edit another field, or set inspect.redact to false."
NO_SUCH_MESSAGE = "The flow has no such message."

type Replace = Callable[[Any, str, Callable[[Any], Any]], None]


class WebRedactor(Protocol):
    """Redacts what mitmweb's handlers send."""

    def flow_json(self, flow_json: dict[str, Any]) -> dict[str, Any]:
        """Redact a flow's JSON for mitmweb in place, and return it."""
        ...

    def download(self, message: http.Message) -> bytes:
        """Return a decoded, redacted body for download."""
        ...

    def field(self, name: str, value: str) -> str:
        """Redact the value of a header field or trailer."""
        ...

    def url(self, url: str) -> str:
        """Redact a URL, or its path and query."""
        ...


def signatures(app: Any) -> tuple[tuple[object, str, tuple[str, ...]], ...]:
    """Return what is replaced in mitmweb, as `compat.EXPECTED_SIGNATURES`."""
    return (
        (app, "flow_to_json", ("flow",)),
        (app.AuthRequestHandler, "_require_auth", ("fn",)),
        (app.FlowContent, "get", ("self", "flow_id", "message")),
        (app.FlowContent, "post", ("self", "flow_id", "message")),
        (app.FlowContentView, "get", ("self", "flow_id", "message", "content_view")),
        (app.FlowHandler, "put", ("self", "flow_id")),
    )


def install(app: Any, redactor: WebRedactor, replace: Replace) -> None:
    """Replace the handlers. They run after mitmweb's login, with the names in their path as keywords."""
    replace(app, "flow_to_json", lambda stock: lambda flow: redactor.flow_json(stock(flow)))

    def behind_login(handler: Any, name: str, make: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
        def wrap(stock: Any) -> Any:
            inner = stock.__wrapped__  # the handler without the login
            return app.AuthRequestHandler._require_auth(functools.wraps(inner)(make(inner)))

        replace(handler, name, wrap)

    behind_login(app.FlowContent, "get", functools.partial(_download, app, redactor))
    behind_login(app.FlowContent, "post", functools.partial(_upload, app))
    behind_login(app.FlowContentView, "get", functools.partial(_view, app))
    behind_login(app.FlowHandler, "put", functools.partial(_edit, app, redactor))


def _download(app: Any, redactor: WebRedactor, inner: Callable[..., None]) -> Callable[..., None]:
    def get(self: Any, flow_id: str, message: str) -> None:
        shown = redactor.download(_message(app, self.flow, message))
        write = self.write
        self.write = lambda _: write(shown)
        try:
            inner(self, flow_id=flow_id, message=message)
        finally:
            del self.write  # Tornado writes errors with it

    return get


def _view(app: Any, inner: Callable[..., None]) -> Callable[..., None]:
    def get(self: Any, flow_id: str, message: str, content_view: str) -> None:
        if message != "messages":
            _message(app, self.flow, message)
        inner(self, flow_id=flow_id, message=message, content_view=content_view)

    return get


def _upload(app: Any, inner: Callable[..., None]) -> Callable[..., None]:
    def post(self: Any, flow_id: str, message: str) -> None:
        _message(app, self.flow, message)
        _refuse_placeholders(app, self.filecontents)
        inner(self, flow_id=flow_id, message=message)

    return post


def _edit(app: Any, redactor: WebRedactor, inner: Callable[..., None]) -> Callable[..., None]:
    def put(self: Any, flow_id: str) -> None:
        edit = self.json
        if not isinstance(edit, dict):
            raise app.APIError(400, "An edit must be a JSON object.")
        for name in ("request", "response"):
            if isinstance(changes := edit.get(name), dict):
                _restore(changes, _message(app, self.flow, name), redactor)
        _refuse_placeholders(app, json.dumps(edit, ensure_ascii=False).encode("utf-8", "replace"))
        self.request.body = json.dumps(edit).encode()
        try:
            inner(self, flow_id=flow_id)
        except (AttributeError, TypeError, ValueError) as error:  # a value of the wrong type, for example
            self.flow.revert()
            raise app.APIError(400, f"The edit is invalid: {error}") from None

    return put


def _message(app: Any, flow: Any, name: str) -> http.Message:
    """Return a flow's request or response. Raises a 404 when it has none."""
    message = getattr(flow, name, None)
    if not isinstance(message, http.Message):
        raise app.APIError(404, NO_SUCH_MESSAGE)
    return message


def _refuse_placeholders(app: Any, data: bytes) -> None:
    lower = data.lower()
    if any(mark in lower for mark in _ENCODED_PREFIXES):
        raise app.APIError(400, EDIT_REFUSED)


def _restore(changes: dict[str, Any], message: http.Message, redactor: WebRedactor) -> None:
    """Restore the real values where an edit of a message returns the redacted ones unchanged."""
    for kind, fields in (("headers", message.headers), ("trailers", message.trailers)):
        given = changes.get(kind)
        if isinstance(given, list) and fields is not None:
            changes[kind] = list(_fields(given, fields, redactor))
    if isinstance(message, http.Request) and changes.get("path") == redactor.url(message.path):
        changes["path"] = message.path


def _fields(given: list[Any], fields: http.Headers, redactor: WebRedactor) -> Iterator[Any]:
    real = {(name.lower(), redactor.field(name, value)): value for name, value in fields.items(multi=True)}
    for each in given:
        match each:
            case [str(name), str(value)]:
                yield [name, real.get((name.lower(), value), value)]
            case _:
                yield each

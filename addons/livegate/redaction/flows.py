"""Redactor of mitmproxy's flows, for everything that stores or shows them."""

import hashlib
from typing import Any

from mitmproxy import http

from livegate.redaction.content_coding import TooLargeError, decode, decode_or_none
from livegate.redaction.http import MAX_BODY_BYTES, HttpRedactor
from livegate.redaction.redactor import Redactor

type Field = tuple[bytes, bytes]


class FlowRedactor:
    """Redactor of flows and their parts; `livegate.mitm.display` calls it."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._http = HttpRedactor(redactor)

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Redact the state of a flow in place, and return it."""
        for name in ("request", "response"):
            if state.get(name):
                self._message(state[name])
        if state.get("request"):
            state["request"]["path"] = self._path(state["request"]["path"])
        websocket = state.get("websocket")
        if websocket:
            websocket["messages"] = [self._frame(message) for message in websocket["messages"]]
            websocket["close_reason"] = self._redactor.text(websocket.get("close_reason") or "") or None
        if state.get("comment"):
            state["comment"] = self._redactor.text(state["comment"])
        if state.get("backup"):
            state["backup"] = self.state(state["backup"])
        return state

    def _path(self, path: bytes) -> bytes:
        return self._http.path(path.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _frame(self, message: Any) -> Any:
        kind, from_client, content, *rest = message
        is_text = kind == 1
        return (kind, from_client, self._redactor.frame(content) if is_text else content, *rest)

    def _message(self, message: dict[str, Any]) -> None:
        fields: tuple[Field, ...] = tuple(tuple(field) for field in message["headers"])
        by_name = {name.lower(): value for name, value in fields}
        content = message.get("content")
        if content:
            kind = by_name.get(b"content-type", b"").decode("latin-1")
            decoded = decode_or_none(content, by_name.get(b"content-encoding", b"").decode("latin-1"), MAX_BODY_BYTES)
            redacted = (
                self._http.body(decoded, kind)
                if decoded is not None
                else _unsearchable(content, by_name.get(b"content-encoding", b"").decode("latin-1"))
            )
            if redacted != decoded:
                message["content"] = redacted
                fields = tuple(field for field in fields if field[0].lower() != b"content-encoding")
        message["headers"] = tuple((name, self._field(name, value)) for name, value in fields)

    def _field(self, name: bytes, value: bytes) -> bytes:
        redacted = self._http.header(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))
        return redacted.encode("utf-8", "surrogateescape")

    def message(self, message: http.Message) -> http.Message:
        """Return a redacted copy of a request or response."""
        state = message.get_state()
        self._message(state)
        if "path" in state:
            state["path"] = self._path(state["path"])
        copy: http.Message = type(message).from_state(state)
        return copy

    def url(self, url: str) -> str:
        """Redact a URL, or path and query."""
        return self._http.path(url)

    def flow_json(self, flow_json: dict[str, Any]) -> dict[str, Any]:
        """Redact in place what mitmweb shows of a flow, and return it."""
        for name in ("request", "response"):
            message = flow_json.get(name)
            if not isinstance(message, dict) or "headers" not in message:
                continue
            for fields in ("headers", "trailers"):
                if fields in message:
                    message[fields] = tuple((key, self._http.header(key, value)) for key, value in message[fields])
            if message.get("contentHash"):  # keyed, because a plain hash of the body could be guessed
                message["contentHash"] = self._keyed(message["contentHash"])
            if "path" in message:
                message["path"] = self._http.path(message["path"])
        if flow_json.get("comment"):
            flow_json["comment"] = self._redactor.text(flow_json["comment"])
        return flow_json

    def _keyed(self, digest: str) -> str:
        return hashlib.blake2b(digest.encode(), key=self._redactor.rules.key, digest_size=32).hexdigest()

    def body(self, data: bytes, message: http.Message) -> bytes:
        """Redact the body that a content view gets: decoded, or as received when it cannot be decoded."""
        if data == message.raw_content and message.headers.get("content-encoding"):
            return self.download(message)
        return self._http.body(data, message.headers.get("content-type"))

    def download(self, message: http.Message) -> bytes:
        """Return the decoded body of a message, redacted."""
        content, coding = message.raw_content or b"", message.headers.get("content-encoding", "")
        decoded = decode_or_none(content, coding, MAX_BODY_BYTES)
        return (
            _unsearchable(content, coding)
            if decoded is None
            else self._http.body(decoded, message.headers.get("content-type"))
        )

    def field(self, name: str, value: str) -> str:
        """Redact a header field or trailer."""
        return self._http.header(name, value)

    def frame(self, data: bytes) -> bytes:
        """Redact a WebSocket's text message."""
        return self._redactor.frame(data)


def _unsearchable(content: bytes, coding: str) -> bytes:
    """Return the remark that replaces a body that cannot be decoded or is too large, and so cannot be redacted."""
    try:
        decode(content, coding, MAX_BODY_BYTES)
    except TooLargeError:
        return f"⟪{len(content)} bytes, too large to decode and redact⟫".encode()
    except ValueError:
        pass
    return f"⟪{len(content)} bytes that cannot be decoded, and so not redacted⟫".encode()

"""Redactor of HTTP header fields and bodies."""

import json
import re

from livegate.redaction.redactor import Redactor

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Size of a body that is redacted. A larger body is replaced by a remark, because redaction takes time by its size."""
_URL_FIELDS = frozenset({"location", "referer", "content-location", "refresh", "link"})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})
_SECRET_FIELDS = frozenset({"x-phoenix-authtoken", "x-phoenix-longpoll-token", "x-user-id"})
_PART_NAME = re.compile(rb"""name="([^"]*)\"""", re.IGNORECASE)


class HttpRedactor:
    """Redactor of header fields and bodies."""

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor

    def header(self, name: str, value: str) -> str:
        """Redact the value of a field. Names of cookies and authentication schemes stay."""
        lower, redactor = name.lower(), self.redactor
        if lower == "cookie":
            return ";".join(self._cookie(cookie) for cookie in value.split(";"))
        if lower == "set-cookie":
            first, semicolon, attributes = value.partition(";")
            key, equals, secret = first.partition("=")
            return f"{key}{equals}{redactor.placeholder(secret)}{semicolon}{attributes}"
        if lower in _CREDENTIALS:
            scheme, space, secret = value.partition(" ")
            return f"{scheme}{space}{redactor.placeholder(secret)}" if space else redactor.placeholder(value)
        if lower in _SECRET_FIELDS or redactor.is_secret(lower):
            return redactor.placeholder(value)
        if lower in _URL_FIELDS:
            return redactor.url(value)
        return redactor.text(value)

    def _cookie(self, cookie: str) -> str:
        name, equals, secret = cookie.partition("=")
        return f"{name}={self.redactor.placeholder(secret)}" if equals else self.redactor.tokens(cookie)

    def path(self, path: str) -> str:
        """Redact a request target."""
        return self.redactor.url(path)

    def body(self, data: bytes, content_type: str | None) -> bytes:
        """Redact a body by its type. Binary bodies stay; a body beyond MAX_BODY_BYTES becomes a remark."""
        kind = (content_type or "").partition(";")[0].strip().lower()
        if len(data) > MAX_BODY_BYTES:
            return f"⟪{len(data)} bytes, too large to redact⟫".encode()
        if kind == "multipart/form-data":
            return self._multipart(data, content_type or "")
        if not _is_text(kind):
            return data
        text = data.decode("utf-8", "surrogateescape")
        if kind == "application/x-www-form-urlencoded":
            redacted = self.redactor.form(text)
        elif kind.endswith(("json", "ndjson")):
            redacted = self._json(text)
        else:
            redacted = self.redactor.tokens(self.redactor.markup(text)) if "<" in text else self.redactor.text(text)
        return data if redacted == text else redacted.encode("utf-8", "surrogateescape")

    def _json(self, text: str) -> str:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):  # such as ndjson, which has one value per line
            return "\n".join(self.redactor.frame(line.encode("utf-8", "replace")).decode() for line in text.split("\n"))
        redacted = self.redactor.json(value)
        return text if redacted is value else json.dumps(redacted, ensure_ascii=False)

    def _multipart(self, data: bytes, content_type: str) -> bytes:
        boundary = re.search(r'boundary="?([^";]{1,200})', content_type)
        if boundary is None:
            return b"\xe2\x9f\xaaa form that cannot be read\xe2\x9f\xab"
        delimiter = b"--" + boundary[1].encode("latin-1", "replace")
        return delimiter.join(self._part(part) for part in data.split(delimiter))

    def _part(self, part: bytes) -> bytes:
        head, blank, body = part.partition(b"\r\n\r\n")
        name = _PART_NAME.search(head)
        if not blank or name is None:
            return part
        value = body.removesuffix(b"\r\n")
        text = value.decode("utf-8", "surrogateescape")
        if self.redactor.is_secret(name[1].decode("utf-8", "replace")):
            redacted = self.redactor.placeholder(text)
        elif b"filename=" in head:
            return part
        else:
            redacted = self.redactor.string(text)
        return head + blank + redacted.encode("utf-8", "surrogateescape") + body[len(value) :]


def _is_text(kind: str) -> bool:
    return not kind or kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "x-www-form-urlencoded"))

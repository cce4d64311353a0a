"""Redactor of text that other code wrote about a flow: log lines and messages of exceptions."""

from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote_plus, urlsplit

from mitmproxy import http

from livegate.redaction.http import HttpRedactor
from livegate.redaction.redactor import Redactor

MIN_CHARACTERS = 6
"""Length of a value of a flow that is searched. Shorter values would match ordinary words."""
MAX_VALUES = 500
"""Values of one flow that are searched. Further values are redacted by their format only."""
MAX_FORM_BYTES = 64 * 1024
_BEARER = "bearer.phx."


class LogTextRedactor:
    """Redactor of text that also finds the secrets of the flow that the text is about."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._http = HttpRedactor(redactor)

    def __call__(self, text: str, flow: http.HTTPFlow | None) -> str:
        """Redact a text. Takes time in proportion to the text and the flow's head, so it is not for hot paths."""
        if flow is not None:
            secrets = {value for value in islice(self._secrets_of(flow), MAX_VALUES) if len(value) >= MIN_CHARACTERS}
            for value in sorted(secrets, key=len, reverse=True):
                if value in text:
                    text = text.replace(value, self._redactor.placeholder(value))
        return self._redactor.text(text)

    def _secrets_of(self, flow: http.HTTPFlow) -> Iterator[str]:
        for message in (flow.request, flow.response):
            for name, value in message.headers.items(multi=True) if message is not None else ():
                yield from self._secrets_in_field(name.lower(), value)
        query = urlsplit(flow.request.path).query if "?" in flow.request.path else ""
        for pair in query.split("&"):
            yield from _raw_and_decoded(pair.partition("=")[2])
        yield from self._secrets_in_form(flow.request)

    def _secrets_in_field(self, name: str, value: str) -> Iterator[str]:
        if name == "cookie":
            yield from (cookie.partition("=")[2].strip() for cookie in value.split(";"))
        elif name == "set-cookie":
            yield value.partition(";")[0].partition("=")[2].strip()
        elif name == "sec-websocket-protocol":
            yield from (item.partition(_BEARER)[2].strip() for item in value.split(","))
        elif self._http.header(name, value) != value:
            yield value
            yield value.partition(" ")[2].strip()

    def _secrets_in_form(self, request: http.Request) -> Iterator[str]:
        content = request.raw_content
        if not content or len(content) > MAX_FORM_BYTES:
            return
        if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
            return
        for pair in content.decode("utf-8", "replace").split("&"):
            name, _, value = pair.partition("=")
            if self._redactor.is_secret(name):
                yield from _raw_and_decoded(value)


def _raw_and_decoded(value: str) -> tuple[str, str]:
    """Return a value as sent, and as an app reads it."""
    return value, unquote_plus(value)

"""Reader of HAR files of Chromium's, Firefox's and Safari's developer tools, of Playwright and of mitmproxy.

HAR 1.2 has no WebSockets. Tools that export messages put them into the entry of the handshake, as Chromium 76 did
first: `_webSocketMessages` has objects with `type` (`send` or `receive`), `time` (seconds since 1970), `opcode` (1 or
2) and `data` (text, base64 for opcode 2).
"""

import base64
import binascii
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from mitmproxy import connection, http
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from livegate.inspect.recording_formats.replay import Contents, FlowLines, Line, ReadError

MAX_HAR_BYTES = 256 * 1024 * 1024
"""Size of a file. Larger files are refused, because parsed JSON takes several times its size in memory."""
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
MAX_SECONDS, MAX_MILLISECONDS = 1e11, 1e14
"""Times beyond these are in milliseconds and microseconds, because tools differ."""
EMPTY_ADDRESS = ("", 0)


def har_lines(file: BinaryIO, path: Path, contents: Contents) -> Iterator[Line]:
    """Yield the lines that a frame log would have for a HAR file. Raises ReadError with the number of the entry."""
    entries = _entries(file, path, contents)
    flow_lines = FlowLines(contents)
    order = sorted(range(len(entries)), key=lambda index: (_start_time(entries[index]), index))
    without_messages = 0
    for index in order:
        place = f"{path}: entry {index + 1} of {len(entries)}"
        entry = entries[index]
        if not isinstance(entry, dict):
            raise ReadError(f"{place}: expected an object, found {type(entry).__name__}")
        flow = _flow(entry, place)
        if flow is None:
            contents.other_flows += 1  # such as data: and blob: URLs
            continue
        without_messages += flow.websocket is not None and "_webSocketMessages" not in entry
        yield from flow_lines.lines_for(flow)
    if without_messages:
        sockets = f"{without_messages} WebSocket{'' if without_messages == 1 else 's'}"
        contents.warnings.append(
            f"{path}: {sockets} without messages (`_webSocketMessages`): the tool that wrote this file does not export "
            "them, or was opened after the page"
        )


def _entries(file: BinaryIO, path: Path, contents: Contents) -> list[Any]:
    data = file.read(MAX_HAR_BYTES + 1)
    if len(data) > MAX_HAR_BYTES:
        raise ReadError(f"{path}: larger than {MAX_HAR_BYTES // 1024 // 1024} MiB, the limit for a HAR file")
    try:
        har = json.loads(data.decode("utf-8-sig", "replace"))
    except ValueError as error:
        place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number that is too long"
        raise ReadError(f"{path}{place}: not JSON, as a HAR file is: {reason}") from error
    except RecursionError as error:
        raise ReadError(f"{path}: nested too deeply for a HAR file") from error
    log = har.get("log") if isinstance(har, dict) else None
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(log, dict) or not isinstance(entries, list):
        raise ReadError(f"{path}: not a HAR file: expected a list at log.entries")
    creator = log.get("creator")
    name = creator.get("name") if isinstance(creator, dict) else None
    contents.kind = f"HAR file of {name[:60]}" if isinstance(name, str) and name.isprintable() else "HAR file"
    return entries


def _start_time(entry: object) -> float:
    """Return the time of an entry's request in seconds since 1970, or 0 when it is missing."""
    text = entry.get("startedDateTime") if isinstance(entry, dict) else None
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
    except (ValueError, OverflowError):
        return 0.0


_URL_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))
"""Characters of URLs that stay unquoted: printable ASCII."""


def _flow(entry: Line, place: str) -> http.HTTPFlow | None:
    """Return the flow of an entry, or None for a request that used no network. Raises ReadError."""
    request = entry.get("request")
    url = request.get("url") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(url, str):
        raise ReadError(f"{place}: expected a text at request.url")
    scheme, separator, rest = url.partition(":")
    if scheme.lower() not in SCHEMES or not separator:
        return None
    flow = http.HTTPFlow(
        connection.Client(peername=EMPTY_ADDRESS, sockname=EMPTY_ADDRESS), connection.Server(address=None)
    )
    method = request.get("method")
    # Placeholders, which HAR files of the gateway have, are not ASCII.
    address = f"{SCHEMES[scheme.lower()]}:{quote(rest, safe=_URL_CHARACTERS)}"
    try:
        urlsplit(address)
        flow.request = http.Request.make(
            method if isinstance(method, str) else "GET", address, _request_body(request), _headers(request)
        )
    except (ValueError, TypeError, UnicodeError) as error:
        raise ReadError(f"{place}: request.url is not a URL: {url[:100]!r}") from error
    duration = entry.get("time")
    started = _start_time(entry)
    ended = started + (duration / 1000 if isinstance(duration, int | float) and 0 < duration < MAX_SECONDS else 0.0)
    flow.request.timestamp_start = flow.request.timestamp_end = started
    flow.response = _response(entry.get("response"), started, ended)
    messages = entry.get("_webSocketMessages")
    if scheme.lower().startswith("ws") or messages is not None or entry.get("_resourceType") == "websocket":
        flow.websocket = _websocket(messages, started, place)
    return flow


def _headers(message: Line) -> list[tuple[bytes, bytes]]:
    """Return the fields of a request or response, which are objects or, from some tools, pairs."""
    fields = []
    for each in message.get("headers") or () if isinstance(message.get("headers"), list) else ():
        pair = (each.get("name"), each.get("value")) if isinstance(each, dict) else each
        match pair:
            case (str(name), str(value)) | [str(name), str(value)]:
                if name and not name.startswith(":"):
                    fields.append((name.encode("utf-8", "replace"), value.encode("utf-8", "replace")))
            case _:
                continue
    return fields


def _request_body(request: Line) -> bytes:
    posted = request.get("postData")
    text = posted.get("text") if isinstance(posted, dict) else None
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def _response(response: object, started: float, ended: float) -> http.Response | None:
    """Return the response; None when there was none, which browsers write as status 0."""
    status = response.get("status") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(status, int) or not 100 <= status < 1000:  # noqa: PLR2004
        return None
    body = b""
    content = response.get("content")
    text = content.get("text") if isinstance(content, dict) else None
    if isinstance(text, str) and isinstance(content, dict):
        body = _from_base64(text) if content.get("encoding") == "base64" else text.encode("utf-8", "surrogatepass")
    # The file has the decoded body.
    fields = [(name, value) for name, value in _headers(response) if name.lower() not in _CODING_FIELDS]
    result = http.Response.make(status, body, http.Headers(fields))
    result.timestamp_start, result.timestamp_end = started, ended
    return result


_CODING_FIELDS = (b"content-encoding", b"transfer-encoding")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def _websocket(messages: object, started: float, place: str) -> WebSocketData:
    websocket = WebSocketData()
    if messages is None:
        return websocket
    if not isinstance(messages, list):
        raise ReadError(f"{place}: expected a list at _webSocketMessages")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict):
            raise ReadError(f"{place}: expected an object as message {number} of _webSocketMessages")
        websocket.messages.append(_message(message, started, f"{place}, message {number}"))
    return websocket


def _message(message: Line, started: float, place: str) -> WebSocketMessage:
    sender, data = message.get("type"), message.get("data", message.get("payload"))
    opcode = message.get("opcode", message.get("opCode", Opcode.TEXT))
    if sender not in ("send", "receive"):
        raise ReadError(f'{place}: type must be "send" or "receive", not {str(sender)[:40]!r}')
    if not isinstance(data, str):
        raise ReadError(f"{place}: expected a text at data, base64 for a binary message")
    is_text = opcode != Opcode.BINARY
    content = data.encode("utf-8", "surrogatepass") if is_text else _from_base64(data)
    return WebSocketMessage(
        Opcode.TEXT if is_text else Opcode.BINARY, sender == "send", content, _seconds(message.get("time"), started)
    )


def _seconds(time: object, started: float) -> float:
    if not isinstance(time, int | float) or not 0 < time < float("inf"):
        return started
    if time > MAX_MILLISECONDS:
        return time / 1_000_000 if time < MAX_MILLISECONDS * 1000 else started
    return time / 1000 if time > MAX_SECONDS else float(time)

"""Patches what mitmproxy stores and displays, so that it is redacted.

It covers flow files, HAR, exports, cuts, mitmdump's output, mitmweb's list, panes and downloads, and the lists and
views of the console. Live flows are unchanged. The console's editor opens the real data, because it saves what is sent.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy import contentviews, flow, http
from mitmproxy import io as flow_files
from mitmproxy.addons import cut, dumper, export, savehar
from mitmproxy.websocket import WebSocketMessage

from livegate.mitm import compat, mitmweb

logger = logging.getLogger(__name__)

type Expected = tuple[tuple[object, str, tuple[str, ...]], ...]
"""As `compat.EXPECTED_SIGNATURES`."""


class DisplayRedactor(mitmweb.WebRedactor, Protocol):
    """Redacts what mitmproxy stores and displays."""

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Redact a flow's state in place, and return it."""
        ...

    def message(self, message: http.Message) -> http.Message:
        """Return a redacted copy of a request or response."""
        ...

    def body(self, data: bytes, message: http.Message) -> bytes:
        """Redact a message's body for a content view."""
        ...

    def frame(self, data: bytes) -> bytes:
        """Redact the text of a WebSocket message."""
        ...


_STOCK: list[tuple[Any, str, Any]] = []


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    stock = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    _STOCK.append((owner, name, stock))
    _put(owner, name, make(stock))


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def install(redactor: DisplayRedactor) -> None:
    """Redact from now on. Does nothing when a redactor is installed."""
    if _STOCK:
        return

    def copy(original: flow.Flow) -> flow.Flow:
        if not isinstance(original, http.HTTPFlow):
            return original
        return type(original).from_state(redactor.state(original.get_state()))

    for writer in (flow_files.FlowWriter, flow_files.FilteredFlowWriter):
        _replace(writer, "add", lambda stock: lambda self, f: stock(self, copy(f)))
    _replace(savehar.SaveHar, "flow_entry", lambda stock: lambda self, f, seen: stock(self, copy(f), seen))
    _replace(dumper.Dumper, "echo_flow", lambda stock: lambda self, f: stock(self, copy(f)))
    _replace(cut, "extract", lambda stock: lambda spec, f: stock(spec, copy(f)))
    for name in list(export.formats):
        _replace(export.formats, name, lambda stock: lambda f: stock(copy(f)))
    _replace(contentviews, "get_data", lambda stock: lambda message: _data(stock, message, redactor))
    _replace(contentviews, "make_metadata", lambda stock: lambda message, f: _metadata(stock(message, f), redactor))
    app = sys.modules.get("mitmproxy.tools.web.app")  # loaded in mitmweb only
    if app is not None and _is_compatible("mitmweb", mitmweb.signatures(app)):
        mitmweb.install(app, redactor, _replace)
    console = sys.modules.get("mitmproxy.tools.console.flowview")  # in the console only
    if console is not None and _is_compatible("the console", console_signatures(console)):
        _install_console(console, redactor)


def console_signatures(console: Any) -> Expected:
    """Return the signatures of what is replaced in mitmproxy's console."""
    return (
        (console.FlowDetails, "conn_text", ("self", "conn")),
        (console.common, "format_flow", ("f", "render_mode", "hostheader", "focused")),
    )


def _is_compatible(name: str, expected: Expected) -> bool:
    problems = list(compat.problems(expected, ()))
    if problems:
        logger.warning(
            "secrets are not redacted in %s: this version of mitmproxy is unknown (%s)", name, "; ".join(problems)
        )
    return not problems


def _install_console(console: Any, redactor: DisplayRedactor) -> None:
    def without_secrets(stock: Any) -> Any:
        def format_flow(*, request_path: str, request_url: str, **others: Any) -> Any:
            return stock(request_path=redactor.url(request_path), request_url=redactor.url(request_url), **others)

        return format_flow

    for name in ("format_http_flow_list", "format_http_flow_table"):
        _replace(console.common, name, without_secrets)
    _replace(
        console.FlowDetails,
        "conn_text",
        lambda stock: lambda self, message: stock(self, redactor.message(message) if message else None),
    )


def uninstall() -> None:
    """Stop redacting."""
    while _STOCK:
        _put(*_STOCK.pop())


def _data(stock: Any, message: Any, redactor: DisplayRedactor) -> tuple[bytes | None, str]:
    """Return the content for content views, redacted."""
    data, description = stock(message)
    if data and isinstance(message, http.Message):
        data = redactor.body(data, message)
    elif data and isinstance(message, WebSocketMessage) and message.is_text:
        data = redactor.frame(data)
    return data, description


def _metadata(metadata: contentviews.Metadata, redactor: DisplayRedactor) -> contentviews.Metadata:
    """Redact the message too, because some content views read it instead of the content."""
    if metadata.http_message is not None:
        metadata.http_message = redactor.message(metadata.http_message)
    return metadata

"""Puts itself between mitmproxy's flows and everything that stores or shows them, so that secrets can be taken out.

Covered are flow files, HAR, exports, cuts, mitmdump's own output, mitmweb's list, panes and downloads, and the lists
and views of the console. Live flows stay as they are: what is on the wire is never touched, and the console's editor
opens the real thing, because what it saves is sent.
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
"""As `shape.EXPECTED`."""


class DisplayRedactor(mitmweb.WebRedactor, Protocol):
    """Takes secrets out of what mitmproxy stores and shows."""

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Of the state of a flow."""
        ...

    def message(self, message: http.Message) -> http.Message:
        """A copy of a request or response."""
        ...

    def body(self, data: bytes, message: http.Message) -> bytes:
        """Of what a content view gets as the body of a message."""
        ...

    def frame(self, data: bytes) -> bytes:
        """Of a WebSocket's text."""
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
    """Hide from now on; nothing happens when something is hidden already."""
    if _STOCK:
        return

    def copy(shown: flow.Flow) -> flow.Flow:
        return type(shown).from_state(redactor.state(shown.get_state())) if isinstance(shown, http.HTTPFlow) else shown

    for writer in (flow_files.FlowWriter, flow_files.FilteredFlowWriter):
        _replace(writer, "add", lambda stock: lambda self, f: stock(self, copy(f)))
    _replace(savehar.SaveHar, "flow_entry", lambda stock: lambda self, f, seen: stock(self, copy(f), seen))
    _replace(dumper.Dumper, "echo_flow", lambda stock: lambda self, f: stock(self, copy(f)))
    _replace(cut, "extract", lambda stock: lambda what, f: stock(what, copy(f)))
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
    """What is replaced in mitmproxy's console; its two functions are only looked for, as they take what they show."""
    return (
        (console.FlowDetails, "conn_text", ("self", "conn")),
        (console.common, "format_flow", ("f", "render_mode", "hostheader", "focused")),
    )


def _is_compatible(what: str, expected: Expected) -> bool:
    found = list(compat.problems(expected, ()))
    if found:
        logger.warning("secrets are not hidden in %s, this mitmproxy is not known: %s", what, "; ".join(found))
    return not found


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
    """Show everything again."""
    while _STOCK:
        _put(*_STOCK.pop())


def _data(stock: Any, message: Any, redactor: DisplayRedactor) -> tuple[bytes | None, str]:
    """The content that every content view gets to see."""
    data, description = stock(message)
    if data and isinstance(message, http.Message):
        data = redactor.body(data, message)
    elif data and isinstance(message, WebSocketMessage) and message.is_text:
        data = redactor.frame(data)
    return data, description


def _metadata(metadata: contentviews.Metadata, redactor: DisplayRedactor) -> contentviews.Metadata:
    """Some content views ask the message itself, not the content that they are given."""
    if metadata.http_message is not None:
        metadata.http_message = redactor.message(metadata.http_message)
    return metadata

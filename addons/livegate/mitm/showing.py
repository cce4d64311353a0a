"""Puts itself between mitmproxy's flows and everything that stores or shows them, so that secrets can be taken out.

Covered are flow files, HAR, exports, mitmdump's own output, and mitmweb: its list, its panes, its downloads. Live flows
stay as they are: what is on the wire is never touched.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy import contentviews, flow, http
from mitmproxy import io as flow_files
from mitmproxy.addons import dumper, export, savehar
from mitmproxy.websocket import WebSocketMessage

MARK = "⟪redacted-"
"""What a value that was taken out begins with."""
REFUSED = "This would send redacted values in place of real ones. Edit something else, or set inspect.redact to false."


class Hide(Protocol):
    """Takes secrets out of what mitmproxy stores and shows."""

    def state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Of the state of a flow."""
        ...

    def message(self, message: http.Message) -> http.Message:
        """A copy of a request or response."""
        ...

    def shown(self, flow_json: dict[str, Any]) -> dict[str, Any]:
        """Of what mitmweb is told of a flow."""
        ...

    def body(self, data: bytes, content_type: str | None) -> bytes:
        """Of a body, decoded."""
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


def install(hide: Hide) -> None:
    """Hide from now on; nothing happens when something is hidden already."""
    if _STOCK:
        return

    def copy(shown: flow.Flow) -> flow.Flow:
        return type(shown).from_state(hide.state(shown.get_state())) if isinstance(shown, http.HTTPFlow) else shown

    for writer in (flow_files.FlowWriter, flow_files.FilteredFlowWriter):
        _replace(writer, "add", lambda stock: lambda self, f: stock(self, copy(f)))
    _replace(savehar.SaveHar, "flow_entry", lambda stock: lambda self, f, seen: stock(self, copy(f), seen))
    _replace(dumper.Dumper, "echo_flow", lambda stock: lambda self, f: stock(self, copy(f)))
    for name in list(export.formats):
        _replace(export.formats, name, lambda stock: lambda f: stock(copy(f)))
    _replace(contentviews, "get_data", lambda stock: lambda message: _data(stock, message, hide))
    _replace(contentviews, "make_metadata", lambda stock: lambda message, f: _metadata(stock(message, f), hide))
    app = sys.modules.get("mitmproxy.tools.web.app")  # loaded in mitmweb only
    if app is not None:
        _install_web(app, hide)


def _install_web(app: Any, hide: Hide) -> None:
    _replace(app, "flow_to_json", lambda stock: lambda f: hide.shown(stock(f)))
    _replace(app.FlowContent, "get", lambda stock: lambda self, *args: _download(stock, self, args, hide))

    def unless_marked(stock: Any, given: Callable[[Any], bytes]) -> Any:
        def edit(self: Any, *args: Any) -> Any:
            if MARK.encode() in given(self) or b"\\u27earedacted-" in given(self).lower():
                raise app.APIError(400, REFUSED)
            return stock(self, *args)

        return edit

    _replace(app.FlowContent, "post", lambda stock: unless_marked(stock, lambda handler: handler.filecontents))
    _replace(app.FlowHandler, "put", lambda stock: unless_marked(stock, lambda handler: handler.request.body))


def uninstall() -> None:
    """Show everything again."""
    while _STOCK:
        _put(*_STOCK.pop())


def _data(stock: Any, message: Any, hide: Hide) -> tuple[bytes | None, str]:
    """The content that every content view gets to see."""
    data, description = stock(message)
    if data and isinstance(message, http.Message):
        data = hide.body(data, message.headers.get("content-type"))
    elif data and isinstance(message, WebSocketMessage) and message.is_text:
        data = hide.frame(data)
    return data, description


def _metadata(metadata: contentviews.Metadata, hide: Hide) -> contentviews.Metadata:
    """Some content views ask the message itself, not the content that they are given."""
    if metadata.http_message is not None:
        metadata.http_message = hide.message(metadata.http_message)
    return metadata


def _download(stock: Any, handler: Any, args: tuple[Any, ...], hide: Hide) -> None:
    write = handler.write
    message = getattr(handler.flow, args[1])
    handler.write = lambda data: write(hide.body(data or b"", message.headers.get("content-type")))
    stock(handler, *args)

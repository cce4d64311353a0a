"""Compatibility check, at import, of the private parts of mitmproxy that the gateway uses."""

import asyncio
import dataclasses
import inspect
from collections.abc import Iterator

from mitmproxy import addonmanager, contentviews, http, log
from mitmproxy import io as flow_files
from mitmproxy.addons import cut, dumper, savehar, termlog
from mitmproxy.contentviews import _registry
from mitmproxy.contrib.kaitaistruct import png
from mitmproxy.net import encoding
from mitmproxy.proxy import commands, layer, mode_servers, server, tunnel
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import modes, tls, websocket
from mitmproxy.proxy.layers.http import _http1

EXPECTED_SIGNATURES: tuple[tuple[object, str, tuple[str, ...]], ...] = (
    (http_layers.HttpLayer, "__init__", ("self", "context", "mode")),
    (http_layers.HttpLayer, "_handle_event", ("self", "event")),
    (http_layers.HttpLayer, "event_to_child", ("self", "child", "event")),
    (http_layers.HttpLayer, "make_stream", ("self", "stream_id")),
    (http_layers.HttpLayer, "get_connection", ("self", "event", "reuse")),
    (http_layers.HttpLayer, "register_connection", ("self", "command")),
    (http_layers.HttpStream, "__init__", ("self", "context", "stream_id")),
    (http_layers.HttpStream, "_handle_event", ("self", "event")),
    (http_layers.HttpStream, "state_wait_for_request_headers", ("self", "event")),
    (http_layers.HttpStream, "state_consume_request_body", ("self", "event")),
    (http_layers.HttpStream, "state_stream_request_body", ("self", "event")),
    (http_layers.HttpStream, "state_wait_for_response_headers", ("self", "event")),
    (http_layers.HttpStream, "state_consume_response_body", ("self", "event")),
    (http_layers.HttpStream, "state_stream_response_body", ("self", "event")),
    (http_layers.HttpStream, "start_request_stream", ("self",)),
    (http_layers.HttpStream, "start_response_stream", ("self",)),
    (http_layers.HttpStream, "send_response", ("self", "already_streamed")),
    (http_layers.HttpStream, "check_body_size", ("self", "request")),
    (http_layers.HttpStream, "check_invalid", ("self", "request")),
    (http_layers.HttpStream, "check_killed", ("self", "emit_error_hook")),
    (http_layers.HttpStream, "handle_protocol_error", ("self", "event")),
    (http_layers.HttpStream, "make_server_connection", ("self",)),
    (http_layers.HttpStream, "flow_done", ("self",)),
    (http_layers.HttpStream, "passthrough", ("self", "event")),
    (_http1.Http1Server, "__init__", ("self", "context")),
    (_http1.Http1Server, "send", ("self", "event")),
    (_http1.Http1Server, "read_headers", ("self", "event")),
    (_http1.Http1Server, "mark_done", ("self", "request", "response")),
    (_http1.Http1Server, "wait", ("self", "event")),
    (_http1.Http1Client, "__init__", ("self", "context")),
    (_http1.Http1Client, "send", ("self", "event")),
    (_http1.Http1Client, "read_headers", ("self", "event")),
    (_http1, "make_body_reader", ("expected_size",)),
    (_http1, "should_make_pipe", ("request", "response")),
    (websocket.WebsocketLayer, "__init__", ("self", "context", "flow")),
    (websocket.WebsocketLayer, "relay_messages", ("self", "event")),
    (tls.ServerTLSLayer, "__init__", ("self", "context", "conn")),
    (tls.ClientTLSLayer, "__init__", ("self", "context")),
    (tunnel.LayerStack, "__truediv__", ("self", "other")),
    (modes.ReverseProxy, "_handle_event", ("self", "event")),
    (addonmanager.AddonManager, "trigger", ("self", "event")),
    (addonmanager.AddonManager, "trigger_event", ("self", "event")),
    (addonmanager.AddonManager, "handle_lifecycle", ("self", "event")),
    (addonmanager.AddonManager, "register", ("self", "addon")),
    (addonmanager.AddonManager, "add", ("self", "addons")),
    (addonmanager.AddonManager, "remove", ("self", "addon")),
    (addonmanager.AddonManager, "clear", ("self",)),
    (addonmanager, "traverse", ("chain",)),
    (addonmanager, "cut_traceback", ("tb", "func_name")),
    (mode_servers.ProxyConnectionHandler, "__init__", ("self", "master", "r", "w", "options", "mode")),
    (mode_servers.ProxyConnectionHandler, "handle_hook", ("self", "hook")),
    (server.ConnectionHandler, "handle_client", ("self",)),
    (server.ConnectionHandler, "handle_connection", ("self", "connection")),
    (server.ConnectionHandler, "open_connection", ("self", "command")),
    (server.ConnectionHandler, "close_connection", ("self", "connection", "half_close")),
    (server.ConnectionHandler, "server_event", ("self", "event")),
    (server.ConnectionHandler, "drain_writers", ("self",)),
    (server.TimeoutWatchdog, "register_activity", ("self",)),
    (server.TimeoutWatchdog, "disarm", ("self",)),
    (log.LegacyLogEvents, "emit", ("self", "record")),
    (flow_files.FlowWriter, "add", ("self", "f")),
    (flow_files.FilteredFlowWriter, "add", ("self", "f")),
    (savehar.SaveHar, "flow_entry", ("self", "flow", "servers_seen")),
    (dumper.Dumper, "echo_flow", ("self", "f")),
    (cut, "extract", ("cut", "f")),
    (contentviews, "get_data", ("message",)),
    (contentviews, "make_metadata", ("message", "flow")),
    (_registry.ContentviewRegistry, "get_view", ("self", "data", "metadata", "view_name")),
    (encoding, "decode", ("encoded", "encoding", "errors")),
    (encoding, "decode_gzip", ("content",)),
    (commands.CloseTcpConnection, "__init__", ("self", "connection", "half_close")),
    (asyncio.StreamReaderProtocol, "connection_lost", ("self", "exc")),
)
"""Owner, name and parameters of each function that is overridden, called or replaced."""


def _fields(kind: type) -> frozenset[str]:
    return (
        frozenset(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else frozenset()
    )


def _names_in(function: object) -> frozenset[str]:
    code = getattr(function, "__code__", None)
    return frozenset(code.co_names) if code is not None else frozenset()


REQUIRED_ATTRIBUTES: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
    (
        "ConnectionHandler",
        frozenset(inspect.get_annotations(server.ConnectionHandler)),
        frozenset({"transports", "timeout_watchdog", "client", "layer", "wakeup_timer"}),
    ),
    ("Layer", frozenset(inspect.get_annotations(layer.Layer)), frozenset({"context", "_paused"})),
    ("TimeoutWatchdog", _names_in(server.TimeoutWatchdog.watch), frozenset({"callback"})),
    ("ConnectionIO", _fields(server.ConnectionIO), frozenset({"handler", "reader", "writer"})),
    ("RequestData", _fields(http.RequestData), frozenset({"authority", "content", "headers", "path", "trailers"})),
    ("ServerInstance", _names_in(mode_servers.ServerInstance.handle_stream), frozenset({"ProxyConnectionHandler"})),
    ("TermLog", _names_in(termlog.TermLog.__init__), frozenset({"logger"})),
    ("TermLogHandler", _names_in(termlog.TermLogHandler.emit), frozenset({"file"})),
    ("Dumper", _names_in(dumper.Dumper.echo), frozenset({"outfp"})),
    ("encoding", frozenset(encoding.custom_decode), frozenset({"gzip", "deflate", "deflateraw", "br", "zstd"})),
    ("encoding.decode", _names_in(encoding.decode), frozenset({"custom_decode"})),
    ("http.Message", _names_in(http.Message.get_content) & _names_in(http.Message.get_text), frozenset({"decode"})),
    ("png", frozenset(vars(png)), frozenset({"zlib"})),
    ("StreamReader", _names_in(asyncio.StreamReader.__init__), frozenset({"_waiter", "_buffer", "_eof"})),
)
"""Owner, the names that it has, and those that the gateway reads or sets."""


def problems(
    expected: tuple[tuple[object, str, tuple[str, ...]], ...] = EXPECTED_SIGNATURES,
    names: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = REQUIRED_ATTRIBUTES,
) -> Iterator[str]:
    """Yield a sentence for each part that is missing or has other parameters than expected."""
    for owner, name, parameters in expected:
        place = f"{getattr(owner, '__name__', owner)}.{name}"
        value = getattr(owner, name, None)
        if value is None:
            yield f"{place} is missing"
        elif (actual := tuple(inspect.signature(value).parameters)) != parameters:
            yield f"{place} takes {actual}, expected {parameters}"
    for owner_name, present, needed in names:
        if missing := needed - present:
            yield f"{owner_name} has no {', '.join(sorted(missing))}"

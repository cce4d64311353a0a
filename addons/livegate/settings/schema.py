"""Schema of the settings file: one pydantic model per section, with default, allowed values and text of each key.

A default is written as it would stand in the file and is parsed like it, so no other module repeats it. The problems of
`livegate check`, the JSON Schema for editors and docs/reference/settings.md come from these models.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from livegate.settings.value_types import (
    AS_TUPLE,
    MAX_COUNT,
    AdminHost,
    BackendUrl,
    CollectorUrl,
    Count,
    Duration,
    FilePath,
    HeaderName,
    HeaderValue,
    ListenAddress,
    Network,
    Origin,
    Ratio,
    RequestRate,
    SecretField,
    ServerName,
    Size,
    Token,
    TracingName,
)

type HostPolicy = Literal["rewrite", "keep"]
type OriginPolicy = Literal["preserve", "passthrough", "rewrite", "drop"]
type Payloads = Literal["redacted", "none", "full"]


class Section(BaseModel):
    """Mapping of the file that refuses unknown keys. Values are immutable and in base units: seconds, bytes."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True, validate_default=True
    )


def _key(default: Any, description: str, **more: Any) -> Any:
    """Declare an optional key. `default` is written as in the file."""
    return Field(default, description=description, **more)


def _section(section: type[Section]) -> Any:
    """Declare an optional section, of which every key has its default."""
    return Field(default_factory=section)


class Timeouts(Section):
    """How long the gateway waits."""

    request_head: Duration = _key("10s", "From the first byte of a request's head to its last. Beyond: 408.")
    connect: Duration = _key("10s", "For a connection to the backend, including TLS. Beyond: 504.")
    upgrade: Duration = _key("10s", "For the backend's response to a WebSocket upgrade. Beyond: 504.")
    response: Duration = _key("60s", "For the first byte of the backend's response. Beyond: 504.")
    keep_alive: Duration = _key(
        "75s", "For the next request on a client's connection, or the next part of a request body. Beyond: closed."
    )
    drain: Duration = _key("10s", "After SIGTERM or SIGINT, for requests and WebSockets in progress. Beyond: closed.")


class ServiceTimeouts(Section):
    """Timeouts of one service; null or absent means the global value."""

    connect: Duration | None = _key(None, "In place of `timeouts.connect`.")
    upgrade: Duration | None = _key(None, "In place of `timeouts.upgrade`.")
    response: Duration | None = _key(None, "In place of `timeouts.response`.")


class RateLimits(Section):
    """Number of requests per sliding window. Beyond: 429 with `Retry-After`."""

    user: RequestRate | None = _key(
        "100/minute",
        "Per user: the Authorization field, else the session cookie (`*_session`, `_*_key`), else the address. "
        "null: no limit.",
    )
    ip: RequestRate | None = _key("500/minute", "Per client address; IPv6 per /64 network. null: no limit.")
    dry_run: bool = _key(False, "Log the requests that would be refused, and let them pass.")


class ServiceRateLimits(Section):
    """Rate limits of one service. A limit that is set here is counted apart from the other services."""

    user: RequestRate | None = _key(None, "In place of `rate_limit.user`, if present. null: no limit.")
    ip: RequestRate | None = _key(None, "In place of `rate_limit.ip`, if present. null: no limit.")
    dry_run: bool | None = _key(None, "In place of `rate_limit.dry_run`. null: the global value.")


class BackendTls(Section):
    """Verification of an https backend."""

    verify: bool = _key(True, "false accepts any certificate.")
    server_name: ServerName | None = _key(
        None, "Name sent as SNI and expected in the certificate. null: the backend's host."
    )
    ca_file: FilePath | None = _key(
        None,
        "PEM file of the CA to trust. null: the public CAs.",
        examples=["staging-ca.pem"],
    )


class MaxConnections(Section):
    """Number of open WebSockets. Beyond: 503 with `Retry-After`, before the backend is contacted."""

    total: Count | None = _key(10_000, "On this gateway; only at the top level. null: no limit.")
    per_service: Count | None = _key(None, "To one service. null: no limit.", examples=[2000])
    per_client: Count | None = _key(200, "From one client address; IPv6 per /64 network. null: no limit.")


class FrameRateLimit(Section):
    """Traffic per second that one client may send on one WebSocket. Beyond: closed with 1008."""

    messages: Count | None = _key(None, "Messages, pings and pongs. null: no limit.", examples=[200])
    bytes: Size | None = _key(None, "Bytes of their frames. null: no limit.", examples=["1MiB"])


class MessageHistoryLimits(Section):
    """Messages of one WebSocket kept on its flow. Beyond: upload chunks go first, then large messages, then the oldest.

    The flow's comment says how many were removed. mitmdump, which shows no flows, frees all messages when a socket has
    closed and every addon that saves flows has seen it.
    """

    messages: Annotated[int, Field(ge=0, le=MAX_COUNT)] = _key(1000, "Number of messages.")
    bytes: Size = _key("1MiB", "Size of their contents, with the overhead of each.")


class WebSocketLimits(Section):
    """Limits of WebSockets, for all services or under `services.HOST` for one."""

    max_message: Size = _key("16MiB", "Size of one message after decompression. Beyond: closed with 1009.")
    idle: Duration | None = _key(
        "75s",
        "Without a byte in either direction (Phoenix sends a heartbeat every 30 s). Beyond: aborted, which both ends "
        "see as 1006. null: no limit.",
    )
    max_age: Duration | None = _key(
        None, "Since the 101 response. Beyond: closed with 1012. null: no limit.", examples=["12h"]
    )
    ping_every: Duration | None = _key(
        None,
        "Interval of the gateway's own pings, to both ends. Without a pong in 20 s: aborted (1006). null: no pings.",
        examples=["30s"],
    )
    max_connections: MaxConnections = _section(MaxConnections)
    frame_rate: FrameRateLimit = _section(FrameRateLimit)
    compression: Literal["strip", "passthrough"] = _key(
        "strip",
        "strip offers the backend no extension; passthrough lets client and backend agree on permessage-deflate.",
    )
    history: MessageHistoryLimits = _section(MessageHistoryLimits)
    allowed_origins: Annotated[tuple[Origin, ...], AS_TUPLE] | None = _key(
        None,
        "Origins that may connect. A missing or other Origin gets 403. null: every origin.",
        examples=[["https://app.example.com", "https://*.example.com"]],
    )


class FlowHistoryLimits(Section):
    """Flows and messages kept in memory for mitmweb and mitmproxy's console."""

    flows: Count = _key(2000, "Number of finished flows. Beyond: the oldest go, except those you have marked.")
    flow_bytes: Size = _key("256MiB", "Size of finished flows, with the messages of closed sockets. Beyond: likewise.")
    message_bytes: Size = _key(
        "64MiB",
        "Size of the messages of all open sockets. Beyond: each socket's history is trimmed to an equal share, besides "
        "its own limit in `websocket.history`.",
    )


class ServiceEntry(Section):
    """One service: its backend, and what differs from the global settings."""

    backend: BackendUrl = Field(
        description="URL of the application, of scheme, host and port. WebSockets go to the same place as ws or wss."
    )
    host: HostPolicy = _key(
        "rewrite", "Host field sent to the backend: rewrite to the backend's, or keep the client's."
    )
    origin: OriginPolicy = _key(
        "preserve",
        "Origin field sent to the backend. preserve: the client's, or on an upgrade without one that of the requested "
        "host; passthrough: the client's or none; rewrite: the backend's; drop: none.",
    )
    tls: BackendTls = _section(BackendTls)
    timeouts: ServiceTimeouts = _section(ServiceTimeouts)
    rate_limit: ServiceRateLimits = _section(ServiceRateLimits)
    websocket: WebSocketLimits = _section(WebSocketLimits)


def _long_form(value: Any) -> Any:
    """Return `{backend: URL}` for a service that is given by its URL only."""
    return value if isinstance(value, dict) else {"backend": value}


type Service = Annotated[ServiceEntry, BeforeValidator(_long_form, json_schema_input_type=BackendUrl | ServiceEntry)]


class ClientTlsSection(Section):
    """TLS for clients, on the same port as plain HTTP."""

    certificates: dict[str, FilePath] = _key(
        {},
        "PEM file with certificate chain and private key, by host name or wildcard. A renewed file is read again. "
        "Other hosts get a certificate of mitmproxy's own CA.",
        examples=[{"*.example.com": "certs/example.pem"}],
    )
    redirect_http: bool = _key(False, "Redirect plain requests to https with 308, and refuse plain upgrades with 426.")


class Limits(Section):
    """Size of a request."""

    head: Size = _key("32KiB", "Request line and header fields. Beyond: 431, or 414 for the request line.")
    headers: Annotated[int, Field(ge=1, le=10_000)] = _key(100, "Number of header fields. Beyond: 431.")
    body: Size = _key("100MiB", "Request body. Beyond: 413.")
    stream_above: Size = _key(
        "1MiB",
        "Longer bodies are forwarded as they arrive, in both directions. So are Server-Sent Events, request bodies of "
        "unknown length, and responses of unknown length that take more than 0.1 s.",
    )


class FrameLog(Section):
    """File with one JSON object per WebSocket frame, and one per HTTP exchange of a LiveView session."""

    path: FilePath = Field(description="Where it is written.", examples=["frames.jsonl"])
    format: Literal["jsonl"] = _key("jsonl", "JSON Lines, the only format.", repr=False)
    rotate: Size = _key("100MiB", "Size at which a new file is started.")
    keep: Annotated[int, Field(ge=0, le=1000)] = _key(10, "Number of older files kept.")
    payloads: Payloads = _key(
        "redacted", "redacted: without secrets; none: sizes only; full: everything, secrets included."
    )


class Inspect(Section):
    """Inspection and redaction of the traffic."""

    redact: bool = _key(True, "Redact secrets in everything that is stored or shown.")
    redact_fields: Annotated[tuple[SecretField, ...], AS_TUPLE] = _key(
        [],
        "Names of further fields whose values are secret, in JSON, forms, URLs and headers.",
        examples=[["shoe size"]],
    )
    frame_log: FrameLog | None = _key(None, "null: no frame log.")
    sessions: Annotated[int, Field(ge=1, le=100_000)] = _key(
        2000,
        "Number of sessions kept: browser tabs, and sockets that carry channels only. Beyond: the session that was "
        "idle longest goes.",
    )


class Admin(Section):
    """Listener for operators: page, metrics, health checks and API."""

    listen: ListenAddress = _key("127.0.0.1:9091", "Its address and port. Other addresses than loopback need a token.")
    token: Token | None = _key(
        None,
        "Sent by clients as `Authorization: Bearer`, or typed into the page. Best taken from the environment.",
        repr=False,
    )
    hosts: Annotated[tuple[AdminHost, ...], AS_TUPLE] = _key(
        [], "Names that a Host field may have, besides IP addresses and localhost.", examples=[["ops.example.com"]]
    )


class TracingSettings(Section):
    """OpenTelemetry spans of requests and LiveView sessions. Needs `pip install 'livegate[otel]'`."""

    endpoint: CollectorUrl = _key(
        "http://127.0.0.1:4318", "URL of the collector, which receives OTLP over HTTP at `/v1/traces` below it."
    )
    sample: Ratio = _key(1.0, "Ratio of sessions and requests that are traced.")
    service_name: TracingName = _key("livegate", "`service.name` of the spans.")
    headers: dict[HeaderName, HeaderValue] = _key(
        {},
        "Header fields sent with the spans, such as the collector's key. Never shown.",
        repr=False,
        examples=[{"x-api-key": "${COLLECTOR_KEY}"}],
    )


class Log(Section):
    """Log of the process."""

    format: Literal["text", "json"] = _key("text", "json writes one object per line.")
    level: Literal["debug", "info", "warning", "error"] = _key("info", "Least severe level that is written.")


class SettingsFile(Section):
    """Settings of livegate."""

    listen: ListenAddress = _key("127.0.0.1:8080", "Address and port for clients, for plain HTTP and TLS alike.")
    services: dict[str, Service] = _key(
        {},
        "Backend by host: a host name, a wildcard such as `*.example.com` (any depth; the longest suffix wins), or "
        "`default` for every other host, which otherwise gets 404. Case, port and a trailing dot are ignored.",
        examples=[{"app.example.com": "http://127.0.0.1:4000"}],
    )
    trusted_proxies: Annotated[tuple[Network, ...], AS_TUPLE] = _key(
        [],
        "Networks whose `X-Forwarded-*`, `X-Request-Id` and `X-User-ID` are trusted, and whose "
        "`Forwarded` is continued.",
        examples=[["10.0.0.0/8"]],
    )
    tls: ClientTlsSection = _section(ClientTlsSection)
    rate_limit: RateLimits = _section(RateLimits)
    timeouts: Timeouts = _section(Timeouts)
    limits: Limits = _section(Limits)
    websocket: WebSocketLimits = _section(WebSocketLimits)
    history: FlowHistoryLimits = _section(FlowHistoryLimits)
    inspect: Inspect = _section(Inspect)
    admin: Admin | None = _key(None, "null: no such listener.")
    tracing: TracingSettings | None = _key(None, "null: no spans.")
    log: Log = _section(Log)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the settings file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SettingsFile.model_json_schema()}

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

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)


def _key(default: Any, description: str, **more: Any) -> Any:
    """Declare an optional key. `default` is written as in the file."""
    return Field(default, description=description, **more)


def _inherited(description: str, **more: Any) -> Any:
    """Declare a key of a service whose absence means the global value, so its schema has no default."""
    return _key(None, description, json_schema_extra=lambda schema: schema.pop("default"), **more)


def _section(section: type[Section]) -> Any:
    """Declare an optional section, of which every key has its default."""
    return Field(default_factory=section)


class Timeouts(Section):
    """Timeouts of requests and connections."""

    request_head: Duration = _key("10s", "Maximum time from the first byte of a request head to its last. Beyond: 408.")
    connect: Duration = _key("10s", "Maximum time to connect to the backend, including TLS. Beyond: 504.")
    upgrade: Duration = _key("10s", "Maximum time for the backend's response to a WebSocket upgrade. Beyond: 504.")
    response: Duration = _key("60s", "Maximum time for the first byte of the backend's response. Beyond: 504.")
    keep_alive: Duration = _key(
        "75s",
        "Maximum time for a TLS handshake, for the next request on a connection, and for the next part of a request "
        "body. Beyond: the connection is closed.",
    )
    drain: Duration = _key(
        "10s",
        "Maximum time to stop after SIGTERM or SIGINT. WebSockets are closed with 1012, spread over most of it. "
        "Beyond: open connections are cut.",
    )


class ServiceTimeouts(Section):
    """Timeouts of one service, in place of the global ones. null means the global one."""

    connect: Duration | None = _inherited("As `timeouts.connect`.")
    upgrade: Duration | None = _inherited("As `timeouts.upgrade`.")
    response: Duration | None = _inherited("As `timeouts.response`.", examples=["120s"])


class RateLimits(Section):
    """Maximum number of requests per sliding window. Beyond: 429 with `Retry-After`."""

    user: RequestRate | None = _key(
        "100/minute",
        "Per user: X-User-ID of a trusted proxy, else the Authorization field, else the session cookie (`*_session`, "
        "`_*_key`), else the client address. null: no limit.",
    )
    ip: RequestRate | None = _key("500/minute", "Per client address; IPv6 per /64 network. null: no limit.")
    dry_run: bool = _key(False, "true logs the requests that would be refused, and lets them pass.")


class ServiceRateLimits(Section):
    """Rate limits of one service. A rate that is set here is counted for this service only."""

    user: RequestRate | None = _inherited("As `rate_limit.user`. null: no limit.", examples=["300/minute"])
    ip: RequestRate | None = _inherited("As `rate_limit.ip`. null: no limit.", examples=["1000/minute"])
    dry_run: bool | None = _inherited("As `rate_limit.dry_run`. null: the global value.")


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
    """Maximum number of open WebSockets. Beyond: 503 with `Retry-After`, before the backend is contacted."""

    total: Count | None = _key(10_000, "On this gateway; only at the top level. null: no limit.")
    per_service: Count | None = _key(None, "To one service. null: no limit.", examples=[2000])
    per_client: Count | None = _key(200, "From one client address; IPv6 per /64 network. null: no limit.")


class FrameRateLimit(Section):
    """Maximum traffic per second from the client of one WebSocket. Beyond: closed with 1008."""

    messages: Count | None = _key(None, "Messages, pings and pongs. null: no limit.", examples=[200])
    bytes: Size | None = _key(None, "Bytes of their frames, headers included. null: no limit.", examples=["1MiB"])


class MessageHistoryLimits(Section):
    """Maximum message history of one WebSocket, kept on its flow. Beyond: messages are evicted.

    Upload chunks are evicted first, then large messages, then the oldest; the flow's comment counts them. mitmdump
    shows no flows, so it frees all messages once the socket has closed and every addon that saves flows has seen it.
    """

    messages: Annotated[int, Field(ge=0, le=MAX_COUNT)] = _key(1000, "Maximum number of messages.")
    bytes: Size = _key("1MiB", "Maximum size of their contents.")


class WebSocketLimits(Section):
    """Limits of WebSockets, for all services or under `services.HOST` for one."""

    max_message: Size = _key("16MiB", "Maximum size of one message after decompression. Beyond: closed with 1009.")
    idle: Duration | None = _key(
        "75s",
        "Maximum time without a byte in either direction (Phoenix sends a heartbeat every 30 s). Beyond: aborted, "
        "which both ends see as 1006. null: no limit.",
    )
    max_age: Duration | None = _key(
        None, "Maximum time since the 101 response. Beyond: closed with 1012. null: no limit.", examples=["12h"]
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
        "Origins that may connect. An upgrade with another Origin, or without one, gets 403. null: every origin.",
        examples=[["https://app.example.com", "https://*.example.com"]],
    )


class FlowHistoryLimits(Section):
    """Flows and messages kept in memory for mitmweb and mitmproxy's console."""

    flows: Count = _key(
        2000,
        "Maximum number of finished flows. Beyond: the oldest are removed, except those that a person has marked. "
        "Those that livegate has marked, such as crashes, stay twice as long.",
    )
    flow_bytes: Size = _key(
        "256MiB", "Maximum size of finished flows, with the messages of closed sockets. Beyond: as `flows`."
    )
    message_bytes: Size = _key(
        "64MiB",
        "Maximum memory of the messages of all open sockets: their contents, and 2 KiB each. Beyond: each history is "
        "trimmed to an equal share. `websocket.history` limits each socket besides.",
    )


class ServiceEntry(Section):
    """One service: its backend, and what differs from the global settings."""

    backend: BackendUrl = Field(
        description="URL of the application: scheme, host and port. WebSockets use the same address with ws or wss."
    )
    host: HostPolicy = _key("rewrite", "Host field sent to the backend. rewrite: the backend's; keep: the client's.")
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


type ServiceOrUrl = Annotated[
    ServiceEntry, BeforeValidator(_long_form, json_schema_input_type=BackendUrl | ServiceEntry)
]


class ClientTlsSection(Section):
    """TLS for clients, on the same port as plain HTTP."""

    certificates: dict[str, FilePath] = _key(
        {},
        "PEM file with certificate chain and private key, by host name or wildcard. A file that changes is read again. "
        "Other hosts get a certificate of mitmproxy's own CA.",
        examples=[{"*.example.com": "certs/example.pem"}],
    )
    redirect_http: bool = _key(
        False, "true redirects plain requests to https with 308, and refuses plain upgrades with 426."
    )


class Limits(Section):
    """Maximum size of a request."""

    head: Size = _key(
        "32KiB", "Maximum size of request line and header fields. Beyond: 431, or 414 for the request line alone."
    )
    headers: Annotated[int, Field(ge=1, le=10_000)] = _key(100, "Maximum number of header fields. Beyond: 431.")
    body: Size = _key("100MiB", "Maximum size of a request body. Beyond: 413.")
    stream_above: Size = _key(
        "1MiB",
        "Maximum size of a body that is gathered before it is forwarded. Larger bodies are forwarded as they arrive, "
        "in both directions. So are Server-Sent Events, request bodies of unknown length, and responses of unknown "
        "length that take more than 0.1 s. Pages larger than this start no session.",
    )


class FrameLog(Section):
    """File with one JSON object per WebSocket frame, and one per HTTP exchange of a LiveView session."""

    path: FilePath = Field(description="File that is written.", examples=["frames.jsonl"])
    format: Literal["jsonl"] = _key("jsonl", "JSON Lines, the only format.", repr=False)
    rotate: Size = _key("100MiB", "Size at which a new file is started.")
    keep: Annotated[int, Field(ge=0, le=1000)] = _key(10, "Number of older files kept.")
    payloads: Payloads = _key(
        "redacted", "redacted: without secrets; none: sizes only; full: everything, secrets included."
    )


class Inspect(Section):
    """Inspection and redaction of the traffic."""

    redact: bool = _key(True, "true redacts secrets in everything that is stored or shown.")
    redact_fields: Annotated[tuple[SecretField, ...], AS_TUPLE] = _key(
        [],
        "Names of further fields whose values are secret, in JSON, forms, URLs and headers.",
        examples=[["shoe size"]],
    )
    frame_log: FrameLog | None = _key(None, "null: no frame log.")
    sessions: Annotated[int, Field(ge=1, le=100_000)] = _key(
        2000,
        "Maximum number of sessions kept: browser tabs, and sockets that carry channels only. Beyond: the session that "
        "was idle longest is evicted.",
    )


class Admin(Section):
    """Listener for operators: page, metrics, health checks and API."""

    listen: ListenAddress = _key("127.0.0.1:9091", "Its address and port. Other addresses than loopback need a token.")
    token: Token | None = _key(
        None,
        "Secret that clients send as `Authorization: Bearer`, or that a person types into the page. Best taken from "
        "the environment.",
        repr=False,
    )
    hosts: Annotated[tuple[AdminHost, ...], AS_TUPLE] = _key(
        [], "Names that a request's Host may have, besides IP addresses and localhost.", examples=[["ops.example.com"]]
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
    """Log lines of the gateway."""

    format: Literal["text", "json"] = _key("text", "json: one object per line.")
    level: Literal["debug", "info", "warning", "error"] = _key("info", "Lowest level that is written.")


class SettingsFile(Section):
    """Settings of livegate."""

    listen: ListenAddress = _key("127.0.0.1:8080", "Address and port for clients, for plain HTTP and TLS alike.")
    services: dict[str, ServiceOrUrl] = _key(
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

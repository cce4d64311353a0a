"""The shape of the settings file, for pydantic: what each key may hold, and the JSON Schema that editors use."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from livegate.settings import addresses, units
from livegate.settings.addresses import Backend, Listen
from livegate.settings.model import DEFAULT_IP_RATE, DEFAULT_USER_RATE, HostPolicy, OriginPolicy

MAX_COUNT = 10_000_000
DEFAULT_COLLECTOR = "http://127.0.0.1:4318"
PROXY_ALLOWED = "a network such as 10.0.0.0/8 or an address such as 192.0.2.7"


def _read_by(parse: Callable[[Any], Any]) -> BeforeValidator:
    """A validator that turns the ValueError of a parser into the `allowed` part of a problem."""

    def validate(value: Any) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise PydanticCustomError("livegate", "{allowed}", {"allowed": str(error)}) from None

    return BeforeValidator(validate)


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(PROXY_ALLOWED) from None


def _text(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


type Duration = Annotated[float, _read_by(units.duration), _text(units.DURATION_PATTERN, "10s")]
type Size = Annotated[int, _read_by(units.size), _text(units.SIZE_PATTERN, "32KiB")]
type RateText = Annotated[
    Any,
    _read_by(lambda value: None if value is None else units.rate(value)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": units.RATE_PATTERN, "examples": ["100/minute"]},
                {"type": "null"},
            ]
        }
    ),
]
type BackendUrl = Annotated[
    Backend, _read_by(addresses.backend), _text(r"^https?://[^/?#@\s]+/?$", "http://127.0.0.1:4000")
]
type ListenAddress = Annotated[Listen, _read_by(addresses.listen), _text(r"^.*:\d{1,5}$", "127.0.0.1:8080")]
type Network = Annotated[Any, _read_by(_network), WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]})]


def _or_null(parse: Callable[[Any], Any], pattern: str, example: str) -> Any:
    """Annotations of a value that may also be null, which means no limit."""
    schema = {"anyOf": [{"type": "string", "pattern": pattern, "examples": [example]}, {"type": "null"}]}
    return _read_by(lambda value: None if value is None else parse(value)), WithJsonSchema(schema)


type DurationOrNull = Annotated[Any, *_or_null(units.duration, units.DURATION_PATTERN, "75s")]
type SizeOrNull = Annotated[Any, *_or_null(units.size, units.SIZE_PATTERN, "1MiB")]
type Ratio = Annotated[float, _read_by(units.ratio), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})]
type CollectorUrl = Annotated[
    str, _read_by(addresses.otlp_endpoint), _text(r"^https?://[^?#@\s]+$", "http://127.0.0.1:4318")
]
type Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
type CountOrNull = Count | None
type Origin = Annotated[
    str, _read_by(addresses.origin), _text(r"^(null|https?://[^/?#@\s]+)$", "https://app.example.com")
]


class Section(BaseModel):
    """A mapping of the file that holds only the keys that it names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class TimeoutsFile(Section):
    """How long the gateway waits."""

    request_head: Duration = Field(10.0, description="For a request's head, from its first byte on: 408 after it.")
    connect: Duration = Field(10.0, description="For a connection to the backend, TLS included: 504 after it.")
    upgrade: Duration = Field(10.0, description="For the backend's answer to a WebSocket upgrade: 504 after it.")
    response: Duration = Field(60.0, description="For the first byte of the backend's answer: 504 after it.")
    keep_alive: Duration = Field(75.0, description="For the next request on a client's connection, then it is closed.")
    drain: Duration = Field(10.0, description="For requests and WebSockets to end when the gateway is told to stop.")


class ServiceTimeoutsFile(Section):
    """What a service sets for itself."""

    connect: Duration | None = None
    upgrade: Duration | None = None
    response: Duration | None = None


class RateLimitFile(Section):
    """How many requests are let through."""

    user: RateText = Field(DEFAULT_USER_RATE, description="By Authorization, else session cookie, else address.")
    ip: RateText = Field(DEFAULT_IP_RATE, description="By address; IPv6 by its /64.")
    dry_run: bool = Field(default=False, description="Log what would be refused, and let it pass.")


class ServiceRateLimitFile(Section):
    """What a service sets for itself; it then counts apart from the others."""

    user: RateText = None
    ip: RateText = None
    dry_run: bool | None = None


class BackendTlsFile(Section):
    """How an https backend has to prove its identity."""

    verify: bool = Field(default=True, description="false accepts any certificate.")
    server_name: str | None = Field(default=None, description="Name sent as SNI and expected in the certificate.")
    ca_file: str | None = Field(default=None, description="PEM file of the CA to trust instead of the public ones.")


class MaxConnectionsFile(Section):
    """How many WebSockets may be open at a time: 503 past it."""

    total: CountOrNull = Field(10_000, description="On this gateway.")
    per_service: CountOrNull = Field(default=None, description="To one service.")
    per_client: CountOrNull = Field(200, description="From one address; IPv6 by its /64.")


class FrameRateFile(Section):
    """What a client may send on one WebSocket in a second: 1008 past it."""

    messages: CountOrNull = Field(default=None, description="Messages, pings and pongs.")
    bytes: SizeOrNull = Field(default=None, description="Their frames' bytes.")


class MessageHistoryFile(Section):
    """How much of a WebSocket's messages is kept on its flow; the oldest go first."""

    messages: Annotated[int, Field(ge=0, le=MAX_COUNT)] = 1000
    bytes: Size = 1024 * 1024


class WebSocketFile(Section):
    """What a WebSocket may do."""

    max_message: Size = Field(16 * 1024 * 1024, description="1009 past it.")
    idle: DurationOrNull = Field(75.0, description="Without a byte from either end; then the connection is cut.")
    max_age: DurationOrNull = Field(default=None, description="Closed with 1012 after it.")
    ping_every: DurationOrNull = Field(default=None, description="The gateway's own pings, to both ends.")
    max_connections: MaxConnectionsFile = MaxConnectionsFile()
    frame_rate: FrameRateFile = FrameRateFile()
    compression: Literal["strip", "passthrough"] = Field(
        "strip", description="strip: none is offered to the backend. passthrough: the ends agree on it."
    )
    history: MessageHistoryFile = MessageHistoryFile()
    allowed_origins: list[Origin] | None = Field(default=None, description="Others get 403; null allows any.")


class FlowHistoryFile(Section):
    """How much is kept: finished flows in mitmweb and mitmproxy's console, messages on the flows of open sockets."""

    flows: Count = 2000
    flow_bytes: Size = 256 * 1024 * 1024
    message_bytes: Size = Field(64 * 1024 * 1024, description="Messages of all open sockets, with what they cost.")


class ServiceFile(Section):
    """One service in its long form."""

    backend: BackendUrl = Field(description="Where the service is.")
    host: HostPolicy = Field("rewrite", description="Host sent to the backend: its own, or the client's.")
    origin: OriginPolicy = Field("preserve", description="Origin sent to the backend.")
    tls: BackendTlsFile = BackendTlsFile()
    timeouts: ServiceTimeoutsFile = ServiceTimeoutsFile()
    rate_limit: ServiceRateLimitFile = ServiceRateLimitFile()
    websocket: WebSocketFile = WebSocketFile()


def _long_form(value: Any) -> Any:
    """`app.example.com: http://…` means `app.example.com: {backend: http://…}`."""
    return value if isinstance(value, dict) else {"backend": value}


type ServiceEntry = Annotated[ServiceFile, BeforeValidator(_long_form)]


class ClientTlsFile(Section):
    """TLS towards clients, on the same port as plain HTTP."""

    certificates: dict[str, str] = Field({}, description="Host name or wildcard -> PEM file with chain and key.")
    redirect_http: bool = Field(default=False, description="Answer plain requests 308 to https.")


class LimitsFile(Section):
    """How large a request may be."""

    head: Size = Field(32 * 1024, description="Of a request's head: 431 or 414 past it.")
    headers: Annotated[int, Field(ge=1, le=10_000)] = Field(100, description="Number of header fields: 431 past it.")
    body: Size = Field(100 * 1024 * 1024, description="Of a request's body: 413 past it.")
    stream_above: Size = Field(1024 * 1024, description="Longer bodies are passed on as they come, both ways.")


class FrameLogFile(Section):
    """A file with one JSON object for every frame."""

    path: Annotated[str, Field(min_length=1)] = Field(description="Relative to the settings file.")
    format: Literal["jsonl"] = "jsonl"
    rotate: Size = Field(100 * 1024 * 1024, description="A new file is begun past it.")
    keep: Annotated[int, Field(ge=0, le=1000)] = Field(10, description="Older files that stay.")
    payloads: Literal["redacted", "none", "full"] = Field(
        "redacted", description="redacted: without secrets; none: sizes only; full: everything, secrets included."
    )


type FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 _.-]{0,63}$")]


class InspectFile(Section):
    """What is kept and shown of the traffic."""

    redact: bool = Field(default=True, description="Take secrets out of everything that is stored or shown.")
    redact_fields: list[FieldName] = Field([], description="Names of further fields whose values are secrets.")
    frame_log: FrameLogFile | None = None
    sessions: Annotated[int, Field(ge=1, le=100_000)] = Field(2000, description="LiveView sessions that are kept.")


class AdminFile(Section):
    """A listener of its own for operators: the page, metrics, health, and an API."""

    listen: ListenAddress = Field(Listen("127.0.0.1", 9091), description="Beyond loopback a token is needed.")
    token: Annotated[str, Field(min_length=16, max_length=256, pattern=r"^[!-~]+$")] | None = Field(
        default=None, description="What a request has to bring, best as ${LIVEGATE_ADMIN_TOKEN}."
    )
    hosts: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,253}$")]] = Field(
        [], description="Names under which it is asked for, besides addresses and localhost."
    )


class TracingFile(Section):
    """Spans of requests and LiveView sessions, sent to an OpenTelemetry collector by OTLP over HTTP."""

    endpoint: CollectorUrl = Field(
        addresses.otlp_endpoint(DEFAULT_COLLECTOR), description="Of the collector; spans go to /v1/traces below it."
    )
    sample: Ratio = Field(1.0, description="Which part of all sessions and requests is told.")
    service_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/-]{0,99}$")] = Field(
        "livegate", description="What this gateway is called there (service.name)."
    )
    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], Annotated[str, Field(pattern=r"^[!-~][ -~]{0,4095}$")]
    ] = Field({}, description="Sent with the spans, such as a key of the collector, best as ${VARIABLE}.")


class LogFile(Section):
    """The log."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SettingsFile(Section):
    """The settings of livegate."""

    listen: ListenAddress = Field(Listen("127.0.0.1", 8080), description="Where clients connect; plain and TLS alike.")
    services: dict[str, ServiceEntry] = Field({}, description="Host name, wildcard or `default` -> backend.")
    trusted_proxies: list[Network] = Field([], description="Networks whose X-Forwarded-* fields are believed.")
    tls: ClientTlsFile = ClientTlsFile()
    rate_limit: RateLimitFile = RateLimitFile()
    timeouts: TimeoutsFile = TimeoutsFile()
    limits: LimitsFile = LimitsFile()
    websocket: WebSocketFile = WebSocketFile()
    history: FlowHistoryFile = FlowHistoryFile()
    inspect: InspectFile = InspectFile()
    admin: AdminFile | None = Field(default=None, description="null: no such listener.")
    tracing: TracingFile | None = Field(default=None, description="null: no spans.")
    log: LogFile = LogFile()


_SECTIONS = (
    ("TimeoutsFile", "timeouts"),
    ("LimitsFile", "limits"),
    ("RateLimitFile", "rate_limit"),
    ("WebSocketFile", "websocket"),
    ("MessageHistoryFile", "message_history"),
    ("FlowHistoryFile", "history"),
    ("FrameLogFile", "frame_log"),
)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the settings file, for editors."""
    schema = SettingsFile.model_json_schema()
    entry = schema["properties"]["services"]
    short = {"type": "string", "pattern": r"^https?://[^/?#@\s]+/?$", "examples": ["http://127.0.0.1:4000"]}
    entry["additionalProperties"] = {"anyOf": [short, {"$ref": "#/$defs/ServiceFile"}]}
    for definition in [schema, *schema["$defs"].values()]:
        for part in definition.get("properties", {}).values():
            if "$ref" in part:
                part.pop("default", None)  # as pydantic has read it, not as it would stand in the file
    defaults = _file_defaults()
    for section, name in _SECTIONS:
        for key, value in defaults[name].items():
            schema["$defs"][section]["properties"][key]["default"] = value
    schema["properties"]["listen"]["default"] = "127.0.0.1:8080"
    schema["$defs"]["AdminFile"]["properties"]["listen"]["default"] = "127.0.0.1:9091"
    schema["$defs"]["TracingFile"]["properties"]["endpoint"]["default"] = DEFAULT_COLLECTOR
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _file_defaults() -> dict[str, dict[str, Any]]:
    """Defaults as they would stand in the file; pydantic knows them only as what they are read into."""
    return {
        "timeouts": {
            "request_head": "10s",
            "connect": "10s",
            "upgrade": "10s",
            "response": "60s",
            "keep_alive": "75s",
            "drain": "10s",
        },
        "limits": {"head": "32KiB", "headers": 100, "body": "100MiB", "stream_above": "1MiB"},
        "rate_limit": {"user": "100/minute", "ip": "500/minute", "dry_run": False},
        "websocket": {"max_message": "16MiB", "idle": "75s"},
        "message_history": {"bytes": "1MiB"},
        "history": {"flow_bytes": "256MiB", "message_bytes": "64MiB"},
        "frame_log": {"rotate": "100MiB"},
    }

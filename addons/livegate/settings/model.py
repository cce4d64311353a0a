"""The settings as the gateway uses them: frozen values, checked and complete, swapped whole on a reload."""

from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal

from livegate.settings.addresses import Backend, Listen
from livegate.settings.host_table import HostTable
from livegate.settings.units import Rate

DEFAULT_USER_RATE = Rate(100, 60)
DEFAULT_IP_RATE = Rate(500, 60)

type HostPolicy = Literal["rewrite", "keep"]
type Payloads = Literal["redacted", "none", "full"]
"""What a frame log keeps of the frames themselves."""
type OriginPolicy = Literal["preserve", "passthrough", "rewrite", "drop"]


@dataclass(frozen=True, slots=True)
class BackendTls:
    """How a backend has to prove its identity."""

    verify: bool = True
    server_name: str | None = None
    """SNI and the name in the certificate; the backend's host when None."""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    request_head: float = 10.0
    connect: float = 10.0
    upgrade: float = 10.0
    response: float = 60.0
    keep_alive: float = 75.0
    drain: float = 10.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, and a number of header fields."""

    head: int = 32 * 1024
    headers: int = 100
    body: int = 100 * 1024 * 1024
    stream_above: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How often one user and one address may ask; None is no limit."""

    user: Rate | None = DEFAULT_USER_RATE
    ip: Rate | None = DEFAULT_IP_RATE
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class MaxConnections:
    """How many WebSockets may be open at a time; None is no limit."""

    total: int | None = 10_000
    per_service: int | None = None
    per_client: int | None = 200


@dataclass(frozen=True, slots=True)
class FrameRateLimit:
    """What one client may send on one socket in a second; None is no limit."""

    messages: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class MessageHistory:
    """How much of a socket's messages is kept on its flow."""

    messages: int = 1000
    bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """What a WebSocket may do. Times in seconds, sizes in bytes; None is no limit."""

    max_message: int = 16 * 1024 * 1024
    idle: float | None = 75.0
    max_age: float | None = None
    ping_every: float | None = None
    max_connections: MaxConnections = MaxConnections()
    frame_rate: FrameRateLimit = FrameRateLimit()
    compression: Literal["strip", "passthrough"] = "strip"
    history: MessageHistory = MessageHistory()
    allowed_origins: tuple[str, ...] | None = None
    """Origins as `addresses.origin` returns them; None is any."""


@dataclass(frozen=True, slots=True)
class FlowHistory:
    """How much is kept: finished flows in mitmweb and mitmproxy's console, messages on the flows of open sockets."""

    flows: int = 2000
    flow_bytes: int = 256 * 1024 * 1024
    message_bytes: int = 64 * 1024 * 1024
    """Of the messages of all open sockets; each socket has a bound of its own as well."""


@dataclass(frozen=True, slots=True)
class FrameLog:
    """A file with one line a WebSocket frame, and one an HTTP exchange of a LiveView session."""

    path: Path
    rotate: int = 100 * 1024 * 1024
    """Bytes after which a new file is begun."""
    keep: int = 10
    """How many files there are besides the one that is written."""
    payloads: Payloads = "redacted"


@dataclass(frozen=True, slots=True)
class Inspect:
    """What is kept and shown of the traffic."""

    redact: bool = True
    redact_fields: tuple[str, ...] = ()
    """Words, lower case, besides those that are always secret."""
    frame_log: FrameLog | None = None
    sessions: int = 2000
    """LiveView sessions that are kept; those that were quiet longest go first."""


@dataclass(frozen=True, slots=True)
class Admin:
    """Where operators look: a listener of its own."""

    listen: Listen
    token: str | None = field(default=None, repr=False)
    """What a request has to bring; None only on a loopback address."""
    hosts: tuple[str, ...] = ()
    """Names, lower case, that a request's Host may have besides addresses and localhost."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """Where spans are sent, and which."""

    endpoint: str
    """The URL that takes them, path included."""
    sample: float = 1.0
    """Which part of sessions and requests is told, 0 to 1."""
    service_name: str = "livegate"
    secret_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Header fields that go with them."""


@dataclass(frozen=True, slots=True)
class Log:
    """What the log looks like."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of `services`, with the global settings merged in."""

    name: str
    """Canonical: lower case, A-labels, no trailing dot; `*.example.com`; `default`."""
    backend: Backend
    host: HostPolicy = "rewrite"
    origin: OriginPolicy = "preserve"
    tls: BackendTls = BackendTls()
    timeouts: Timeouts = Timeouts()
    rate_limit: RateLimits = RateLimits()
    websocket: WebSocketLimits = WebSocketLimits()
    own_user_rate: bool = False
    """Whether the service sets the user budget itself, and so counts apart from all others."""
    own_ip_rate: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for clients, checked: the key fits, it is in date, it covers the name."""

    pattern: str
    path: Path
    not_after: float
    """When the leaf ends, in seconds since 1970."""
    chain_pem: bytes = field(repr=False)
    """Leaf first."""
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS towards clients."""

    certificates: HostTable[Certificate] = field(default_factory=lambda: HostTable[Certificate]({}))
    """Looked up by the name that the client sends as SNI."""
    redirect_http: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything of the settings file."""

    source: Path | None
    listen: Listen
    services: tuple[Service, ...]
    routes: HostTable[Service] = field(repr=False)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    tls: ClientTls
    rate_limit: RateLimits
    timeouts: Timeouts
    limits: Limits
    websocket: WebSocketLimits
    history: FlowHistory
    inspect: Inspect
    admin: Admin | None
    tracing: Tracing | None
    log: Log
    watched: frozenset[Path]
    """The settings file and every file it names: a change of any of them is a reason to reload."""


def public_values(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values without secrets, which are the fields that `repr` omits."""
    values: dict[str, Any] = _public(settings)
    if settings.admin is not None:
        values["admin"]["token"] = "set" if settings.admin.token else None
    return values


def _public(value: Any) -> Any:
    """Return one value for JSON: text where `str` gives the file's own form, an object for other dataclasses."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple | HostTable):
        return [_public(each) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if is_dataclass(value) and "__str__" not in vars(type(value)):
        return {each.name: _public(getattr(value, each.name)) for each in fields(value) if each.repr}
    return str(value)

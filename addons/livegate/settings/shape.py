"""The shape of the settings file, for pydantic: what each key may hold, and the JSON Schema that editors use."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from livegate.settings import names, quantities
from livegate.settings.model import DEFAULT_IP_RATE, DEFAULT_USER_RATE, Backend, HostPolicy, Listen, OriginPolicy

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


type Duration = Annotated[float, _read_by(quantities.duration), _text(quantities.DURATION_PATTERN, "10s")]
type Size = Annotated[int, _read_by(quantities.size), _text(quantities.SIZE_PATTERN, "32KiB")]
type RateText = Annotated[
    Any,
    _read_by(lambda value: None if value is None else quantities.rate(value)),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": quantities.RATE_PATTERN, "examples": ["100/minute"]},
                {"type": "null"},
            ]
        }
    ),
]
type BackendUrl = Annotated[
    Backend, _read_by(names.backend), _text(r"^https?://[^/?#@\s]+/?$", "http://127.0.0.1:4000")
]
type ListenAddress = Annotated[Listen, _read_by(names.listen), _text(r"^.*:\d{1,5}$", "127.0.0.1:8080")]
type Network = Annotated[Any, _read_by(_network), WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8"]})]


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


class ServiceFile(Section):
    """One service in its long form."""

    backend: BackendUrl = Field(description="Where the service is.")
    host: HostPolicy = Field("rewrite", description="Host sent to the backend: its own, or the client's.")
    origin: OriginPolicy = Field("preserve", description="Origin sent to the backend.")
    tls: BackendTlsFile = BackendTlsFile()
    timeouts: ServiceTimeoutsFile = ServiceTimeoutsFile()
    rate_limit: ServiceRateLimitFile = ServiceRateLimitFile()


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
    log: LogFile = LogFile()


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the settings file, for editors."""
    schema = SettingsFile.model_json_schema()
    entry = schema["properties"]["services"]
    short = {"type": "string", "pattern": r"^https?://[^/?#@\s]+/?$", "examples": ["http://127.0.0.1:4000"]}
    entry["additionalProperties"] = {"anyOf": [short, {"$ref": "#/$defs/ServiceFile"}]}
    defaults = _file_defaults()
    for section, name in (("TimeoutsFile", "timeouts"), ("LimitsFile", "limits"), ("RateLimitFile", "rate_limit")):
        for key, value in defaults[name].items():
            schema["$defs"][section]["properties"][key]["default"] = value
    for name in defaults:
        schema["properties"][name].pop("default", None)
    schema["properties"]["listen"]["default"] = "127.0.0.1:8080"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _file_defaults() -> dict[str, dict[str, Any]]:
    """Defaults as they would stand in the file; pydantic knows them only as what they are read into."""
    return {
        "timeouts": {"request_head": "10s", "connect": "10s", "upgrade": "10s", "response": "60s", "keep_alive": "75s"},
        "limits": {"head": "32KiB", "headers": 100, "body": "100MiB", "stream_above": "1MiB"},
        "rate_limit": {"user": "100/minute", "ip": "500/minute", "dry_run": False},
        "tls": {},
        "log": {},
    }

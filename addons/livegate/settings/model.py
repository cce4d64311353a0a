"""Settings as the gateway uses them: checked and complete, immutable, replaced as a whole on a reload."""

from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from livegate.settings.addresses import Backend, Listen
from livegate.settings.host_table import HostTable
from livegate.settings.schema import (
    Admin,
    BackendTls,
    FlowHistoryLimits,
    HostPolicy,
    Inspect,
    Limits,
    Log,
    OriginPolicy,
    RateLimits,
    Section,
    Timeouts,
    TracingSettings,
    WebSocketLimits,
)


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of `services`, merged with the global settings."""

    name: str
    """Canonical host pattern: lower-case A-labels without trailing dot, `*.example.com`, or `default`."""
    backend: Backend
    host: HostPolicy
    origin: OriginPolicy
    tls: BackendTls
    timeouts: Timeouts
    rate_limit: RateLimits
    websocket: WebSocketLimits
    own_user_rate: bool = False
    """True if the service sets the rate per user itself, which is then counted for it alone."""
    own_ip_rate: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """Certificate for clients, whose key, validity period and name were checked on load."""

    pattern: str
    path: Path
    not_after: float
    """End of the leaf's validity, in seconds since 1970."""
    chain_pem: bytes = field(repr=False)
    """Leaf first."""
    key_pem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS for clients."""

    certificates: HostTable[Certificate]
    """Looked up by the name that the client sends as SNI."""
    redirect_http: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings in force."""

    source: Path | None
    listen: Listen
    services: tuple[Service, ...]
    routes: HostTable[Service] = field(repr=False)
    """The same services by host."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    tls: ClientTls
    rate_limit: RateLimits
    timeouts: Timeouts
    limits: Limits
    websocket: WebSocketLimits
    history: FlowHistoryLimits
    inspect: Inspect
    admin: Admin | None
    tracing: TracingSettings | None
    log: Log
    watched: frozenset[Path]
    """The settings file and the files that it names. A change of any of them triggers a reload."""


def public_values(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values, without the fields that `repr` omits: secrets, and what says nothing new."""
    values: dict[str, Any] = _public(settings)
    if settings.admin is not None:
        values["admin"]["token"] = "set" if settings.admin.token else None
    return values


def _public(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple | HostTable):
        return [_public(each) for each in value]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, Section):
        shown = (name for name, key in type(value).model_fields.items() if key.repr)
        return {name: _public(getattr(value, name)) for name in shown}
    if is_dataclass(value) and "__str__" not in vars(type(value)):
        return {each.name: _public(getattr(value, each.name)) for each in fields(value) if each.repr}
    return str(value)  # a rate, a listen address, a path: as in the file

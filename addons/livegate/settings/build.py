"""Turns the checked shape of a settings file into the frozen settings, and makes the checks that span several keys."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from livegate.settings import addresses
from livegate.settings.addresses import DEFAULT_PORTS, Backend
from livegate.settings.certificates import check_authority, read_certificate
from livegate.settings.host_table import HostTable
from livegate.settings.model import (
    Admin,
    BackendTls,
    Certificate,
    ClientTls,
    FlowHistory,
    FrameLog,
    Inspect,
    Limits,
    Log,
    RateLimits,
    Service,
    Settings,
    Timeouts,
    Tracing,
    WebSocketLimits,
)
from livegate.settings.problems import shown
from livegate.settings.schema import Section, ServiceFile, ServiceRateLimitFile, SettingsFile, WebSocketFile
from livegate.settings.yaml_document import Document

MIN_HEAD_BYTES = 1024
TRACING_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def build(
    file: SettingsFile, document: Document, path: Path | None, forbidden: Sequence[tuple[str, int]]
) -> Settings | None:
    """Complete the settings; what is wrong is noted in the document, and then None is returned."""
    folder = path.resolve().parent if path else Path.cwd()
    timeouts = Timeouts(**{name: getattr(file.timeouts, name) for name in type(file.timeouts).model_fields})
    rates = RateLimits(file.rate_limit.user, file.rate_limit.ip, file.rate_limit.dry_run)
    websocket = _websocket_limits(file.websocket, WebSocketLimits())
    admin = _admin(file, document, forbidden)
    own = [file.listen, *([admin.listen] if admin is not None else [])]
    listeners = [*((each.host, each.port) for each in own), *forbidden]
    tracing = _tracing(file, document, [(each.host, each.port) for each in own])
    builder = _Builder(document, folder, timeouts, rates, websocket, listeners)
    found = tuple(builder.service(name, entry) for name, entry in file.services.items())
    tls = _client_tls(file, folder, document)
    limits = _limits(file, document)
    if not found and not document.problems:
        document.problem((), "no services", "at least one entry in services")
    if document.problems:
        return None
    watched = {path} if path else set()
    watched |= {certificate.path for certificate in tls.certificates}
    watched |= {service.tls.ca_file for service in found if service.tls.ca_file}
    return Settings(
        source=path,
        listen=file.listen,
        services=found,
        routes=HostTable({service.name: service for service in found}),
        trusted_proxies=tuple(file.trusted_proxies),
        tls=tls,
        rate_limit=rates,
        timeouts=timeouts,
        limits=limits,
        websocket=websocket,
        history=FlowHistory(file.history.flows, file.history.flow_bytes, file.history.message_bytes),
        inspect=_inspect(file, path.parent if path is not None else Path()),
        admin=admin,
        tracing=tracing,
        log=Log(file.log.format, file.log.level),
        watched=frozenset(watched),
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    """What every service is built from."""

    document: Document
    folder: Path
    timeouts: Timeouts
    rates: RateLimits
    websocket: WebSocketLimits
    listeners: Sequence[tuple[str, int]]

    def service(self, name: str, entry: ServiceFile) -> Service:
        _refuse_own_listener(name, entry.backend, self.document, self.listeners)
        if "total" in entry.websocket.max_connections.model_fields_set:
            key = ("services", name, "websocket", "max_connections", "total")
            self.document.problem(key, "total", "per_service and per_client here; total stands at the top")
        own_times = {key: value for key, value in entry.timeouts.model_dump().items() if value is not None}
        return Service(
            name=_canonical(name),
            backend=entry.backend,
            host=entry.host,
            origin=entry.origin,
            tls=_backend_tls(name, entry, self.folder, self.document),
            timeouts=replace(self.timeouts, **own_times),
            rate_limit=_own_rates(entry.rate_limit, self.rates),
            websocket=_websocket_limits(entry.websocket, self.websocket),
            own_user_rate="user" in entry.rate_limit.model_fields_set,
            own_ip_rate="ip" in entry.rate_limit.model_fields_set,
        )


def _canonical(name: str) -> str:
    try:
        return addresses.service_pattern(name)
    except ValueError:
        return name  # noted before, by the check of all names


def _own_rates(own: ServiceRateLimitFile, rates: RateLimits) -> RateLimits:
    said = own.model_fields_set
    return RateLimits(
        user=own.user if "user" in said else rates.user,
        ip=own.ip if "ip" in said else rates.ip,
        dry_run=rates.dry_run if own.dry_run is None else own.dry_run,
    )


def _websocket_limits(own: WebSocketFile, usual: WebSocketLimits) -> WebSocketLimits:
    """What a section says, and for the rest what is usual."""
    said = {name: getattr(own, name) for name in own.model_fields_set}
    for name in ("max_connections", "frame_rate", "history"):
        part: Section = getattr(own, name)
        said[name] = replace(getattr(usual, name), **{key: getattr(part, key) for key in part.model_fields_set})
    if said.get("allowed_origins") is not None:
        said["allowed_origins"] = tuple(said["allowed_origins"])
    return replace(usual, **said)


def _refuse_own_listener(name: str, backend: Backend, document: Document, listeners: Sequence[tuple[str, int]]) -> None:
    for host, port in listeners:
        if backend.port == port and addresses.may_collide(backend.host, host):
            document.problem(
                ("services", name, "backend"),
                shown(backend.url),
                "a backend that is not the gateway itself (its own listener, the admin's, or mitmweb's)",
            )
            return


def _backend_tls(name: str, entry: ServiceFile, folder: Path, document: Document) -> BackendTls:
    ca_file = folder / Path(entry.tls.ca_file).expanduser() if entry.tls.ca_file else None
    if ca_file is not None:
        try:
            check_authority(ca_file)
        except ValueError as error:
            document.problem(("services", name, "tls", "ca_file"), shown(entry.tls.ca_file), str(error))
    server_name = entry.tls.server_name
    if server_name is not None:
        allowed = "a host name or an IP address"
        try:
            server_name = addresses.host_name(server_name, allowed).strip("[]")
        except ValueError:
            document.problem(("services", name, "tls", "server_name"), shown(server_name), allowed)
    return BackendTls(entry.tls.verify, server_name, ca_file)


def _client_tls(file: SettingsFile, folder: Path, document: Document) -> ClientTls:
    certificates: dict[str, Certificate] = {}
    for name, text in file.tls.certificates.items():
        key = ("tls", "certificates", name)
        try:
            pattern = addresses.service_pattern(name)
            certificate = read_certificate(pattern, folder / Path(text).expanduser())
        except ValueError as error:
            document.problem(key, shown(text), str(error))
            continue
        if pattern in certificates:
            document.problem(key, shown(name), "each name once")
        certificates[pattern] = certificate
    return ClientTls(HostTable(certificates), file.tls.redirect_http)


def _inspect(file: SettingsFile, folder: Path) -> Inspect:
    section = file.inspect.frame_log
    frame_log = None
    if section is not None:
        path = folder / Path(section.path).expanduser()
        frame_log = FrameLog(path, section.rotate, section.keep, section.payloads)
    names = tuple("".join(letter for letter in name.lower() if letter.isalnum()) for name in file.inspect.redact_fields)
    return Inspect(file.inspect.redact, names, frame_log, file.inspect.sessions)


def _admin(file: SettingsFile, document: Document, others: Sequence[tuple[str, int]]) -> Admin | None:
    section = file.admin
    if section is None:
        return None
    listen = section.listen
    taken = (
        (file.listen.host, file.listen.port, "`listen`"),
        *((*other, "mitmweb or --listen-port") for other in others),
    )
    for host, port, whose in taken:
        if listen.port == port and addresses.listeners_clash(listen.host, host):
            document.problem(("admin", "listen"), shown(str(listen)), f"another port than {whose}")
            break
    if section.token is None and not addresses.is_loopback(listen.host):
        document.problem(("admin",), f"no token for {shown(str(listen))}", "a token, unless it listens on loopback")
    return Admin(listen, section.token, tuple(name.lower().removesuffix(".") for name in section.hosts))


def _tracing(file: SettingsFile, document: Document, own: Sequence[tuple[str, int]]) -> Tracing | None:
    """Where spans go. The packages are imported here, which a reload does in a thread: it takes half a second."""
    section = file.tracing
    if section is None:
        return None
    url = urlsplit(section.endpoint)
    port = url.port or DEFAULT_PORTS[url.scheme]
    if any(port == mine and addresses.may_collide(url.hostname or "", host) for host, mine in own):
        document.problem(("tracing", "endpoint"), shown(section.endpoint), "a collector that is not the gateway itself")
    try:
        for module in TRACING_MODULES:
            importlib.import_module(module)
    except ImportError:
        document.problem(
            ("tracing",), "no OpenTelemetry packages", "tracing when they are there: pip install 'livegate[otel]'"
        )
    return Tracing(section.endpoint, section.sample, section.service_name, tuple(section.headers.items()))


def _limits(file: SettingsFile, document: Document) -> Limits:
    limits = Limits(file.limits.head, file.limits.headers, file.limits.body, file.limits.stream_above)
    if limits.head < MIN_HEAD_BYTES:
        document.problem(("limits", "head"), f"{limits.head} bytes", "at least 1KiB")
    if limits.stream_above > limits.body:
        document.problem(("limits", "stream_above"), f"{limits.stream_above} bytes", "at most limits.body")
    return limits


def route_table(settings: Settings) -> list[tuple[str, str, str]]:
    """One row a service for people: host, backend URL, and what is not as usual there."""
    usual = Service(
        "",
        Backend("http", "", 0),
        timeouts=settings.timeouts,
        rate_limit=settings.rate_limit,
        websocket=settings.websocket,
    )
    return [(service.name, service.backend.url, ", ".join(_remarks(service, usual))) for service in settings.services]


def _remarks(service: Service, usual: Service) -> list[str]:
    remarks = [
        (service.host != usual.host, f"host {service.host}"),
        (service.origin != usual.origin, f"origin {service.origin}"),
        (not service.tls.verify, "TLS not verified"),
        (service.tls.server_name is not None, f"TLS name {service.tls.server_name}"),
        (service.tls.ca_file is not None, f"own CA {service.tls.ca_file}"),
        (service.timeouts.connect != usual.timeouts.connect, f"connect {service.timeouts.connect:g}s"),
        (service.timeouts.upgrade != usual.timeouts.upgrade, f"upgrade {service.timeouts.upgrade:g}s"),
        (service.timeouts.response != usual.timeouts.response, f"response {service.timeouts.response:g}s"),
        (service.websocket != usual.websocket, "own WebSocket limits"),
        (service.own_user_rate, f"user {service.rate_limit.user or 'unlimited'}"),
        (service.own_ip_rate, f"ip {service.rate_limit.ip or 'unlimited'}"),
    ]
    return [text for holds, text in remarks if holds]

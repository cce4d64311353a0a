"""Builds the settings in force from a valid settings file, with the checks that span several keys or read files."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from livegate.settings import addresses
from livegate.settings.addresses import DEFAULT_PORTS, Backend
from livegate.settings.certificates import check_authority, read_certificate
from livegate.settings.host_table import HostTable
from livegate.settings.model import Certificate, ClientTls, Service, Settings
from livegate.settings.problems import quoted
from livegate.settings.schema import (
    Admin,
    BackendTls,
    Inspect,
    Limits,
    RateLimits,
    Section,
    ServiceEntry,
    ServiceRateLimits,
    SettingsFile,
    TracingSettings,
)
from livegate.settings.yaml_document import Document

MIN_HEAD_BYTES = 1024
TRACING_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def build(
    file: SettingsFile, document: Document, path: Path | None, own_listeners: Sequence[tuple[str, int]]
) -> Settings | None:
    """Return the settings, or None after adding problems to the document."""
    folder = path.resolve().parent if path else Path.cwd()
    listens = [file.listen, *([file.admin.listen] if file.admin is not None else [])]
    listeners = [*((each.host, each.port) for each in listens), *own_listeners]
    builder = _ServiceBuilder(document, folder, file, listeners)
    services = tuple(builder.service(name, entry) for name, entry in file.services.items())
    tls = ClientTls(HostTable(_certificates(file, folder, document)), file.tls.redirect_http)
    _check_limits(file.limits, document)
    if file.admin is not None:
        _check_admin(file.admin, file, document, own_listeners)
    if file.tracing is not None:
        _check_tracing(file.tracing, document, [(each.host, each.port) for each in listens])
    if not services and not document.problems:
        document.problem((), "no services", "at least one entry under services")
    if document.problems:
        return None
    watched = {path} if path else set()
    watched |= {certificate.path for certificate in tls.certificates}
    watched |= {service.tls.ca_file for service in services if service.tls.ca_file}
    return Settings(
        source=path,
        listen=file.listen,
        services=services,
        routes=HostTable({service.name: service for service in services}),
        trusted_proxies=file.trusted_proxies,
        tls=tls,
        rate_limit=file.rate_limit,
        timeouts=file.timeouts,
        limits=file.limits,
        websocket=file.websocket,
        history=file.history,
        inspect=_inspect(file.inspect, path.parent if path is not None else Path()),
        admin=file.admin,
        tracing=file.tracing,
        log=file.log,
        watched=frozenset(watched),
    )


@dataclass(frozen=True, slots=True)
class _ServiceBuilder:
    """Builder of services from their entries and the global settings."""

    document: Document
    folder: Path
    file: SettingsFile
    listeners: Sequence[tuple[str, int]]

    def service(self, name: str, entry: ServiceEntry) -> Service:
        """Return the complete service; problems are added to the document."""
        self._check_backend(name, entry.backend)
        if "total" in entry.websocket.max_connections.model_fields_set:
            key = ("services", name, "websocket", "max_connections", "total")
            allowed = "per_service and per_client; total is set only under the top-level websocket"
            self.document.problem(key, "a limit of the whole gateway", allowed)
        return Service(
            name=_canonical(name),
            backend=entry.backend,
            host=entry.host,
            origin=entry.origin,
            tls=self._tls(name, entry.tls),
            timeouts=self.file.timeouts.model_copy(update=entry.timeouts.model_dump(exclude_none=True)),
            rate_limit=_merged_rates(self.file.rate_limit, entry.rate_limit),
            websocket=_merged(self.file.websocket, entry.websocket),
            own_user_rate="user" in entry.rate_limit.model_fields_set,
            own_ip_rate="ip" in entry.rate_limit.model_fields_set,
        )

    def _check_backend(self, name: str, backend: Backend) -> None:
        for host, port in self.listeners:
            if backend.port == port and addresses.may_collide(backend.host, host):
                allowed = "a backend other than the gateway's own listeners (listen, admin.listen, mitmweb)"
                self.document.problem(("services", name, "backend"), quoted(backend.url), allowed)
                return

    def _tls(self, name: str, tls: BackendTls) -> BackendTls:
        if tls.ca_file is None:
            return tls
        ca_file = self.folder / tls.ca_file
        try:
            check_authority(ca_file)
        except ValueError as error:
            self.document.problem(("services", name, "tls", "ca_file"), quoted(str(tls.ca_file)), str(error))
        return tls.model_copy(update={"ca_file": ca_file})


def _canonical(name: str) -> str:
    try:
        return addresses.service_pattern(name)
    except ValueError:
        return name  # `_check_hosts` of load.py has added this problem


def _merged[S: Section](inherited: S, own: S) -> S:
    """Return a copy of `inherited` with the keys that `own` sets itself."""
    update = {}
    for name in own.model_fields_set:
        value = getattr(own, name)
        update[name] = _merged(getattr(inherited, name), value) if isinstance(value, Section) else value
    return inherited.model_copy(update=update)


def _merged_rates(inherited: RateLimits, own: ServiceRateLimits) -> RateLimits:
    update = {name: getattr(own, name) for name in own.model_fields_set}
    if own.dry_run is None:
        update.pop("dry_run", None)
    return inherited.model_copy(update=update)


def _certificates(file: SettingsFile, folder: Path, document: Document) -> dict[str, Certificate]:
    certificates: dict[str, Certificate] = {}
    for name, path in file.tls.certificates.items():
        key = ("tls", "certificates", name)
        try:
            pattern = addresses.service_pattern(name)
            certificate = read_certificate(pattern, folder / path)
        except ValueError as error:
            document.problem(key, quoted(str(path)), str(error))
            continue
        if pattern in certificates:
            document.problem(key, quoted(name), "each host once")
        certificates[pattern] = certificate
    return certificates


def _inspect(inspect: Inspect, folder: Path) -> Inspect:
    """Return the section with the frame log's absolute path."""
    if inspect.frame_log is None:
        return inspect
    frame_log = inspect.frame_log.model_copy(update={"path": folder / inspect.frame_log.path})
    return inspect.model_copy(update={"frame_log": frame_log})


def _check_limits(limits: Limits, document: Document) -> None:
    if limits.head < MIN_HEAD_BYTES:
        document.problem(("limits", "head"), f"{limits.head} bytes", "at least 1KiB")
    if limits.stream_above > limits.body:
        allowed = f"at most limits.body ({limits.body} bytes)"
        document.problem(("limits", "stream_above"), f"{limits.stream_above} bytes", allowed)


def _check_admin(admin: Admin, file: SettingsFile, document: Document, others: Sequence[tuple[str, int]]) -> None:
    """Refuse a listener whose port is taken, or that strangers can reach without a token."""
    listen = admin.listen
    taken = (
        (file.listen.host, file.listen.port, "listen"),
        *((*other, "mitmweb or --listen-port") for other in others),
    )
    for host, port, owner in taken:
        if listen.port == port and addresses.listeners_clash(listen.host, host):
            document.problem(("admin", "listen"), quoted(str(listen)), f"a port other than that of {owner}")
            break
    is_invalid = any(problem.key == "admin.token" for problem in document.problems)
    if admin.token is None and not is_invalid and not addresses.is_loopback(listen.host):
        allowed = f"a token, because {listen} is not a loopback address"
        document.problem(("admin", "token"), "nothing", allowed)


def _check_tracing(tracing: TracingSettings, document: Document, own: Sequence[tuple[str, int]]) -> None:
    """Refuse a collector that is the gateway itself, and tracing without its packages.

    The packages are imported here because that takes half a second, and a reload runs this function in a thread.
    """
    url = urlsplit(tracing.endpoint)
    port = url.port or DEFAULT_PORTS[url.scheme]
    if any(port == own_port and addresses.may_collide(url.hostname or "", host) for host, own_port in own):
        document.problem(("tracing", "endpoint"), quoted(tracing.endpoint), "a collector other than the gateway itself")
    try:
        for module in TRACING_MODULES:
            importlib.import_module(module)
    except ImportError:
        allowed = "tracing with them installed (pip install 'livegate[otel]')"
        document.problem(("tracing",), "no OpenTelemetry packages", allowed)


def route_table(settings: Settings) -> list[tuple[str, str, str]]:
    """Return one row per service: host, backend URL, and where it differs from the global settings."""
    return [
        (service.name, service.backend.url, ", ".join(_remarks(service, settings))) for service in settings.services
    ]


def _remarks(service: Service, settings: Settings) -> list[str]:
    remarks = [
        (service.host != "rewrite", f"host {service.host}"),
        (service.origin != "preserve", f"origin {service.origin}"),
        (not service.tls.verify, "TLS not verified"),
        (service.tls.server_name is not None, f"TLS name {service.tls.server_name}"),
        (service.tls.ca_file is not None, f"own CA {service.tls.ca_file}"),
        *(
            (getattr(service.timeouts, name) != getattr(settings.timeouts, name), f"{name} {seconds:g}s")
            for name, seconds in service.timeouts
        ),
        (service.websocket != settings.websocket, "own WebSocket limits"),
        (service.own_user_rate, f"user {service.rate_limit.user or 'unlimited'}"),
        (service.own_ip_rate, f"ip {service.rate_limit.ip or 'unlimited'}"),
    ]
    return [text for differs, text in remarks if differs]

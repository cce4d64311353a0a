"""Admission of WebSocket upgrades: allowed origins (403) and connection limits (503)."""

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.http1.refusal import Refusal
from livegate.pipeline.client_identity import rate_limit_address
from livegate.pipeline.exchange.record import Exchange, awaiting_backend, exchange_of
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.settings import CurrentSettings, Settings, origin
from livegate.websocket.close_codes import SERVICE_RESTART
from livegate.websocket.registry import LimitReached, SocketRegistry

RETRY_AFTER_S = 10
REMOVED_WITHIN_S = 2.0
"""Seconds over which the sockets of a removed service are closed, so that their clients do not reconnect at once."""


class WebSocketAdmission:
    """Refuse upgrades from other origins and beyond the limits, and hold a slot for each WebSocket."""

    def __init__(self, current: CurrentSettings, sockets: SocketRegistry) -> None:
        self._sockets = sockets
        current.on_change(self._settings_changed)

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or exchange.service is None or not exchange.upgrade:
            return
        limits = exchange.service.websocket
        origins = flow.request.headers.get_all("Origin")
        if limits.allowed_origins is not None and not _is_allowed(origins, limits.allowed_origins):
            refuse(flow, Refusal(403, "WebSockets from this origin are not allowed.", "origin-refused"))
            return
        slot = (exchange.service.name, rate_limit_address(exchange.client))
        reached = self._sockets.reserve(slot, limits.max_connections)
        if reached is None:
            exchange.socket_slot = slot
        else:
            refuse(flow, _refusal(reached))

    def response(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        switched = flow.response is not None and flow.response.status_code == status_codes.SWITCHING
        if exchange is not None and not switched:
            self._release(exchange)

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            self._release(exchange)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is not None:
            self._release(exchange)

    def _release(self, exchange: Exchange) -> None:
        slot, exchange.socket_slot = exchange.socket_slot, None
        if slot is not None:
            self._sockets.release(slot)

    def _settings_changed(self, settings: Settings) -> None:
        names = {service.name for service in settings.services}
        self._sockets.close_all(
            SERVICE_RESTART, "the service was removed", within_s=REMOVED_WITHIN_S, of=lambda name: name not in names
        )


def _refusal(reached: LimitReached) -> Refusal:
    scope = {"total": "on this gateway", "per_service": "to this service", "per_client": "from this address"}
    message = f"Too many WebSockets {scope[reached.bound]} (limit {reached.limit})."
    return Refusal(503, message, f"sockets-{reached.bound.replace('_', '-')}", (("Retry-After", str(RETRY_AFTER_S)),))


def _is_allowed(origins: list[str], allowed: tuple[str, ...]) -> bool:
    """Return whether a request has exactly one Origin, and that is allowed."""
    if len(origins) != 1:
        return False
    try:
        found = origin(origins[0].lower())
    except ValueError:
        return False
    if found in allowed:
        return True
    scheme, _, host = found.partition("://")
    patterns = (pattern.partition("://*.") for pattern in allowed)
    return any(dot and scheme == start and host.endswith(f".{suffix}") for start, dot, suffix in patterns)

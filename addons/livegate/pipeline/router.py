"""Routes requests and WebSocket upgrades to a service by their Host."""

from mitmproxy import http

from livegate.http1.authority import split_authority
from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.record import Exchange, awaiting_backend
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.settings import Service


class DomainRouter:
    """Send each request to the backend of the service that its Host is mapped to; 404 if there is none."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None:
            return
        exchange.service = service_for(exchange)
        if exchange.service is None:
            message = f"Service not found for host: {_host(exchange)}"
            refuse(flow, Refusal(404, message, "unmapped-host"))
            return
        send_to(flow, exchange.service)


def service_for(exchange: Exchange) -> Service | None:
    """Return the service of a request, or None."""
    return exchange.service or exchange.settings.routes.match(_host(exchange))


def send_to(flow: http.HTTPFlow, service: Service) -> None:
    """Make the backend the flow's destination. Host and authority stay, unlike with `request.host = ...`."""
    data = flow.request.data
    data.host, data.port = service.backend.host, service.backend.port
    data.scheme = service.backend.scheme.encode()


def _host(exchange: Exchange) -> str:
    authority = split_authority(exchange.authority)
    return authority[0] if authority else ""

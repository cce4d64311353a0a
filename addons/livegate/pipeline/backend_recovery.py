"""Logs that a backend responds again after failures. Its present state is a metric; this is the change of it."""

import logging
import time
from dataclasses import dataclass

from mitmproxy import http
from mitmproxy.net.http import status_codes

from livegate.logs.context import about
from livegate.pipeline.exchange.record import exchange_of
from livegate.settings import CurrentSettings, Settings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Outage:
    since: float
    failed: int = 0


class BackendRecovery:
    """Counter of failed requests since a backend's last response. At most one entry per service."""

    def __init__(self, current: CurrentSettings) -> None:
        self._outages: dict[str, _Outage] = {}
        current.on_change(self._settings_changed)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if not self._outages:
            return
        exchange = exchange_of(flow)
        if exchange is None or exchange.service is None or exchange.response_started_at is None:
            return
        outage = self._outages.pop(exchange.service.name, None)
        if outage is not None:
            logger.warning(
                "the backend of %s responds again: %d request(s) failed in %.1f s (backend %s)",
                exchange.service.name,
                outage.failed,
                time.monotonic() - outage.since,
                exchange.service.backend.url,
                extra=about(flow, exchange.service.name),
            )

    def error(self, flow: http.HTTPFlow) -> None:
        exchange = exchange_of(flow)
        if exchange is None or exchange.service is None or exchange.failure is None:
            return
        if exchange.failure.status >= status_codes.BAD_GATEWAY and exchange.response_started_at is None:
            outage = self._outages.setdefault(exchange.service.name, _Outage(time.monotonic()))
            outage.failed += 1

    def _settings_changed(self, settings: Settings) -> None:
        names = {service.name for service in settings.services}
        self._outages = {name: outage for name, outage in self._outages.items() if name in names}

"""Rate limits of users and addresses, for HTTP requests and WebSocket upgrades alike (429)."""

import logging

from mitmproxy import http
from msgspec import Struct

from livegate.http1.refusal import Refusal
from livegate.logs.context import about
from livegate.pipeline.client_identity import rate_limit_address
from livegate.pipeline.exchange.record import Exchange, awaiting_backend
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.pipeline.ratelimit.keys import address_key, user_key
from livegate.pipeline.ratelimit.quotas import Decision, Quota, QuotaChecker, QuotaState
from livegate.pipeline.router import service_for
from livegate.pipeline.streaming import should_stream_request
from livegate.settings import RateLimits

logger = logging.getLogger(__name__)

LOGGED_KEY_CHARACTERS = 12


class RateLimiter:
    """Count each flow once: when its head has arrived if the body is streamed, else when all of it has arrived."""

    def __init__(self, checker: QuotaChecker | None = None) -> None:
        self._checker = checker or QuotaChecker()

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is not None and should_stream_request(flow, exchange):
            self._count(flow, exchange)

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is not None:
            self._count(flow, exchange)

    def _count(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.rate_limit_checked:
            return
        exchange.rate_limit_checked = True
        limits = _limits(exchange)
        quotas = _quotas(flow, exchange, limits)
        if not quotas:
            return
        decision = self._checker.check(quotas)
        exchange.limit_fields = fields(decision.states)
        refused = "would_refuse" if limits.rates.dry_run else "refused"
        exchange.limit_decisions = tuple(
            (quota.policy, "allowed" if quota != decision.violated else refused) for quota in quotas
        )
        if decision.violated is not None:
            _refuse(flow, exchange, limits, decision, decision.violated)


class _Limits(Struct, frozen=True, gc=False):
    rates: RateLimits
    service: str
    user_scope: str
    ip_scope: str


def _limits(exchange: Exchange) -> _Limits:
    """Return the rates in force for a request. A scope is the service if it has a rate of its own, else empty."""
    service = service_for(exchange)
    if service is None:
        return _Limits(exchange.settings.rate_limit, "-", "", "")
    return _Limits(
        service.rate_limit,
        service.name,
        service.name if service.own_user_rate else "",
        service.name if service.own_ip_rate else "",
    )


def _quotas(flow: http.HTTPFlow, exchange: Exchange, limits: _Limits) -> list[Quota]:
    address = rate_limit_address(exchange.client)
    headers = flow.request.headers
    quotas = []
    if limits.rates.user is not None:
        key = user_key(
            user_id=headers.get("X-User-ID") if exchange.peer_trusted else None,
            authorization=headers.get("Authorization"),
            cookies=headers.get_all("Cookie"),
            address=address,
        )
        quotas.append(Quota("user", limits.rates.user, f"{limits.user_scope}/{key}"))
    if limits.rates.ip is not None:
        quotas.append(Quota("ip", limits.rates.ip, f"{limits.ip_scope}/{address_key(address)}"))
    return quotas


def _refuse(flow: http.HTTPFlow, exchange: Exchange, limits: _Limits, decision: Decision, violated: Quota) -> None:
    logger.warning(
        "%s: %s rate limit %s, client %s, service %s (key %s)",
        "would refuse" if limits.rates.dry_run else "refused",
        violated.policy,
        violated.rate,
        exchange.client,
        limits.service,
        violated.key.rpartition(":")[2][:LOGGED_KEY_CHARACTERS],
        extra=about(flow, f"{violated.policy} {limits.service}"),
    )
    if not limits.rates.dry_run:
        retry = (("Retry-After", str(decision.retry_after_s)),)
        refuse(flow, Refusal(429, "Rate limit exceeded", f"rate-limit-{violated.policy}", retry))


def fields(states: tuple[QuotaState, ...]) -> tuple[tuple[str, str], ...]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers-11, and X-RateLimit-* of the quota with least left."""
    policy = ", ".join(f'"{one.quota.policy}";q={one.quota.rate.limit};w={one.quota.rate.window_s}' for one in states)
    state = ", ".join(f'"{one.quota.policy}";r={one.remaining};t={one.reset_s}' for one in states)
    scarcest = min(states, key=lambda one: (one.remaining / one.quota.rate.limit, -one.reset_s))
    return (
        ("RateLimit-Policy", policy),
        ("RateLimit", state),
        ("X-RateLimit-Limit", str(scarcest.quota.rate.limit)),
        ("X-RateLimit-Remaining", str(scarcest.remaining)),
        ("X-RateLimit-Reset", str(scarcest.reset_s)),
    )

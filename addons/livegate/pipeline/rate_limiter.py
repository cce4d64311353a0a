"""Holds users and addresses to their rates, HTTP requests and WebSocket upgrades alike."""

import logging

from mitmproxy import http
from msgspec import Struct

from livegate.http1.refusal import Refusal
from livegate.logs.context import about
from livegate.pipeline.client_identity import rate_limit_address
from livegate.pipeline.exchange.record import Exchange, awaiting_backend
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.pipeline.ratelimit.quotas import Budget, Budgets, Decision, Level, address_key, user_key
from livegate.pipeline.router import service_for
from livegate.pipeline.streaming import will_stream_request
from livegate.settings import RateLimits

logger = logging.getLogger(__name__)

SHOWN_KEY_CHARACTERS = 12


class RateLimiter:
    """Count each flow once, when its head has come if its body will be streamed, else when all of it has come."""

    def __init__(self, budgets: Budgets | None = None) -> None:
        self._budgets = budgets or Budgets()

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is not None and will_stream_request(flow, exchange):
            self._count(flow, exchange)

    @fail_closed
    def request(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is not None:
            self._count(flow, exchange)

    def _count(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        if exchange.counted:
            return
        exchange.counted = True
        limits = _limits(exchange)
        budgets = _budgets_of(flow, exchange, limits)
        if not budgets:
            return
        decision = self._budgets.check(budgets)
        exchange.limit_fields = fields(decision.levels)
        exchange.limit_decisions = tuple(
            (each.policy, "allowed" if each != decision.violated else _refused_word(limits.rates)) for each in budgets
        )
        if decision.violated is not None:
            _refuse(flow, exchange, limits, decision, decision.violated)


class _Limits(Struct, frozen=True, gc=False):
    rates: RateLimits
    service: str
    user_scope: str
    ip_scope: str


def _limits(exchange: Exchange) -> _Limits:
    """The rates in force for a request, and under whose name each is counted."""
    service = service_for(exchange)
    if service is None:
        return _Limits(exchange.settings.rate_limit, "-", "", "")
    return _Limits(
        service.rate_limit,
        service.name,
        service.name if service.own_user_rate else "",
        service.name if service.own_ip_rate else "",
    )


def _budgets_of(flow: http.HTTPFlow, exchange: Exchange, limits: _Limits) -> list[Budget]:
    address = rate_limit_address(exchange.client)
    headers = flow.request.headers
    budgets = []
    if limits.rates.user is not None:
        key = user_key(
            user_id=headers.get("X-User-ID") if exchange.peer_trusted else None,
            authorization=headers.get("Authorization"),
            cookies=headers.get_all("Cookie"),
            address=address,
        )
        budgets.append(Budget("user", limits.rates.user, f"{limits.user_scope}/{key}"))
    if limits.rates.ip is not None:
        budgets.append(Budget("ip", limits.rates.ip, f"{limits.ip_scope}/{address_key(address)}"))
    return budgets


def _refused_word(rates: RateLimits) -> str:
    """What becomes of a request past its rate."""
    return "would_refuse" if rates.dry_run else "refused"


def _refuse(flow: http.HTTPFlow, exchange: Exchange, limits: _Limits, decision: Decision, violated: Budget) -> None:
    logger.warning(
        "%s: %s rate limit %s, client %s, service %s (key %s)",
        "would refuse" if limits.rates.dry_run else "refused",
        violated.policy,
        violated.rate,
        exchange.client,
        limits.service,
        violated.key.rpartition(":")[2][:SHOWN_KEY_CHARACTERS],
        extra=about(flow, f"{violated.policy} {limits.service}"),
    )
    if not limits.rates.dry_run:
        retry = (("Retry-After", str(decision.retry_after_s)),)
        refuse(flow, Refusal(429, "Rate limit exceeded", f"rate-limit-{violated.policy}", retry))


def fields(levels: tuple[Level, ...]) -> tuple[tuple[str, str], ...]:
    """The fields of draft-ietf-httpapi-ratelimit-headers-11, and the older X-RateLimit-* of the scarcest budget."""
    policy = ", ".join(
        f'"{one.budget.policy}";q={one.budget.rate.limit};w={one.budget.rate.window_s}' for one in levels
    )
    state = ", ".join(f'"{one.budget.policy}";r={one.remaining};t={one.reset_s}' for one in levels)
    scarcest = min(levels, key=lambda one: (one.remaining / one.budget.rate.limit, -one.reset_s))
    return (
        ("RateLimit-Policy", policy),
        ("RateLimit", state),
        ("X-RateLimit-Limit", str(scarcest.budget.rate.limit)),
        ("X-RateLimit-Remaining", str(scarcest.remaining)),
        ("X-RateLimit-Reset", str(scarcest.reset_s)),
    )

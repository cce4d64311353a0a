"""When a flow is counted, and against which budget."""

from pathlib import Path

import pytest
from flows import begun, flow, settings

from livegate.pipeline.budgets import Budgets
from livegate.pipeline.exchange import exchange_of
from livegate.pipeline.rate_limiter import RateLimiter

LIMITED = {"rate_limit": {"user": "2/hour", "ip": "3/hour"}}


def ask(limiter: RateLimiter, with_settings, *fields, hook: str = "request", host: str = "app.test", **options) -> int:
    made = flow(*fields, **options)
    begun(made, with_settings, host=host)
    getattr(limiter, hook)(made)
    return made.response.status_code if made.response else 200


def test_each_flow_is_counted_once_whatever_hooks_see_it(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    made = flow(("Transfer-Encoding", "chunked"), method="POST")
    exchange = begun(made, limits)
    for _ in range(5):
        limiter.requestheaders(made)
        limiter.request(made)
    assert made.response is None
    assert ("X-RateLimit-Remaining", "1") in exchange.limit_fields


def test_a_body_that_is_streamed_is_counted_with_its_head_and_a_short_one_when_it_has_come(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    assert [ask(limiter, limits, hook="requestheaders") for _ in range(5)] == [200] * 5
    chunked = ("Transfer-Encoding", "chunked")
    assert [ask(limiter, limits, chunked, hook="requestheaders") for _ in range(3)] == [200, 200, 429]


def test_rotating_the_authorization_does_not_escape_the_address(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    statuses = [ask(limiter, limits, ("Authorization", str(number))) for number in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_a_user_id_counts_only_from_a_trusted_proxy(tmp_path: Path) -> None:
    limits = settings(tmp_path, rate_limit={"user": "1/hour", "ip": None}, trusted_proxies=["10.0.0.0/8"])
    limiter = RateLimiter()
    assert [ask(limiter, limits, ("X-User-ID", str(n))) for n in range(2)] == [200, 429]
    assert [ask(limiter, limits, ("X-User-ID", str(n)), peer="10.0.0.1") for n in range(2)] == [200, 200]


def test_ipv6_clients_of_one_64_share_a_budget(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": None, "ip": "1/hour"})
    assert [ask(limiter, limits, peer=peer) for peer in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")] == [
        200,
        429,
        200,
    ]


def test_a_service_with_rates_of_its_own_is_counted_apart(tmp_path: Path) -> None:
    services = {
        "app.test": "http://127.0.0.1:1",
        "two.test": "http://127.0.0.1:2",
        "own.test": {"backend": "http://127.0.0.1:3", "rate_limit": {"user": "1/hour"}},
    }
    limiter, limits = RateLimiter(), settings(tmp_path, services=services, rate_limit={"user": "2/hour", "ip": None})
    assert ask(limiter, limits, host="own.test") == 200
    assert ask(limiter, limits, host="own.test") == 429
    assert [ask(limiter, limits, host=host) for host in ("app.test", "two.test", "app.test")] == [200, 200, 429]


def test_without_rates_nothing_is_counted_or_said(tmp_path: Path) -> None:
    limiter, free = RateLimiter(), settings(tmp_path, rate_limit={"user": None, "ip": None})
    made = flow()
    exchange = begun(made, free)
    limiter.request(made)
    assert exchange.limit_fields == ()


def test_an_unmapped_host_is_counted_by_the_global_rates(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    made = flow(("Transfer-Encoding", "chunked"), host="unmapped.test")
    begun(made, limits, host="unmapped.test")
    limiter.requestheaders(made)
    assert exchange_of(made).limit_fields  # type: ignore[union-attr]


def test_a_store_that_fails_answers_500_and_lets_nothing_through(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Budgets):
        def check(self, budgets):
            raise ConnectionError("the store is gone")

    assert ask(RateLimiter(Broken()), settings(tmp_path)) == 500
    assert "RateLimiter.request failed" in caplog.text


def test_a_refusal_is_logged_without_its_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": "1/hour"})
    assert [ask(limiter, limits, ("Authorization", "CANARY")) for _ in range(2)] == [200, 429]
    assert "refused: user rate limit 1/hour" in caplog.text
    assert "CANARY" not in caplog.text

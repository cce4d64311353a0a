"""When a flow is counted, and against which quota."""

import re
from pathlib import Path

import pytest
from flows import begun, flow, settings

from livegate.pipeline.exchange.record import exchange_of
from livegate.pipeline.rate_limiter import RateLimiter
from livegate.pipeline.ratelimit.quotas import QuotaChecker

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


def test_a_streamed_body_is_counted_with_its_head_and_a_short_one_when_complete(tmp_path: Path) -> None:
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


def test_ipv6_clients_of_one_64_share_a_quota(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("policy", "other"), [("user", "ip"), ("ip", "user")])
def test_a_rate_of_a_services_own_is_counted_apart_even_when_it_equals_the_global_one(
    tmp_path: Path, policy: str, other: str
) -> None:
    services = {
        "app.test": "http://127.0.0.1:1",
        "own.test": {"backend": "http://127.0.0.1:2", "rate_limit": {policy: "1/hour"}},
    }
    limiter, limits = RateLimiter(), settings(tmp_path, services=services, rate_limit={policy: "1/hour", other: None})
    hosts = ("app.test", "own.test", "app.test", "own.test")
    assert [ask(limiter, limits, host=host) for host in hosts] == [200, 200, 429, 429]


def test_without_rates_nothing_is_counted_and_no_fields_are_sent(tmp_path: Path) -> None:
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
    exchange = exchange_of(made)
    assert exchange
    assert exchange.limit_fields


def test_a_storage_that_raises_responds_500(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(QuotaChecker):
        def check(self, quotas):
            raise ConnectionError("the storage is down")

    assert ask(RateLimiter(Broken()), settings(tmp_path)) == 500
    assert "RateLimiter.request failed" in caplog.text


def test_a_refusal_is_logged_without_its_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": "1/hour"})
    assert [ask(limiter, limits, ("Authorization", "CANARY")) for _ in range(2)] == [200, 429]
    assert "refused: user rate limit 1/hour" in caplog.text
    assert "CANARY" not in caplog.text


def refused(limiter: RateLimiter, with_settings, *fields, **options):
    while True:
        made = flow(*fields, **options)
        begun(made, with_settings)
        limiter.request(made)
        if made.response is not None:
            return made


def test_a_refusal_has_the_wait_in_every_field(tmp_path: Path) -> None:
    headers = refused(RateLimiter(), settings(tmp_path, **LIMITED), ("Authorization", "a")).response.headers
    wait = int(headers["Retry-After"])
    assert wait >= 1
    assert headers["RateLimit-Policy"] == '"user";q=2;w=3600, "ip";q=3;w=3600'
    state = re.fullmatch(r'"user";r=0;t=(\d+), "ip";r=1;t=(\d+)', headers["RateLimit"])
    assert state
    assert int(state[1]) == wait
    assert int(state[2]) >= 1
    assert [headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] == ["2", "0", str(wait)]
    assert all(len(headers.get_all(name)) == 1 for name in headers)


def test_an_allowed_request_has_the_same_fields_but_no_retry_after(tmp_path: Path) -> None:
    made = flow()
    exchange = begun(made, settings(tmp_path, **LIMITED))
    RateLimiter().request(made)
    names = [name for name, _ in exchange.limit_fields]
    assert names == ["RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


def test_the_older_fields_describe_the_quota_with_least_left(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": "100/hour", "ip": "4/hour"})
    made = flow()
    exchange = begun(made, limits)
    limiter.request(made)
    assert ("X-RateLimit-Limit", "4") in exchange.limit_fields


@pytest.mark.parametrize(("rates", "reason"), [(("1/hour", "9/hour"), "user"), (("9/hour", "1/hour"), "ip")])
def test_a_refusal_names_the_exceeded_quota(
    tmp_path: Path, rates: tuple[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = settings(tmp_path, rate_limit={"user": rates[0], "ip": rates[1]})
    made = refused(RateLimiter(), limits, ("Authorization", "CANARY"))
    assert exchange_of(made).refusal_reason == f"rate-limit-{reason}"
    assert b"Rate limit exceeded" in made.response.content
    assert re.search(rf"refused: {reason} rate limit 1/hour, .*service app\.test \(key [0-9a-f]{{12}}\)", caplog.text)
    assert "CANARY" not in caplog.text


def test_a_dry_run_refuses_nothing_logs_it_and_counts_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter()
    limits = settings(tmp_path, rate_limit={"user": "1/hour", "ip": "3/hour", "dry_run": True})
    assert [ask(limiter, limits) for _ in range(5)] == [200] * 5
    assert caplog.text.count("would refuse: user rate limit 1/hour") == 4
    real = settings(tmp_path, rate_limit={"user": None, "ip": "3/hour"})
    assert [ask(limiter, real) for _ in range(3)] == [200, 200, 429]


def test_an_untrusted_x_forwarded_for_does_not_change_the_quota(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": None, "ip": "1/hour"})
    assert [ask(limiter, limits, ("X-Forwarded-For", f"1.1.1.{number}")) for number in range(3)] == [200, 429, 429]


def test_a_websocket_upgrade_is_one_request(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"))
    assert [ask(limiter, limits, *upgrade) for _ in range(3)] == [200, 200, 429]


def test_sessions_of_one_address_have_separate_quotas(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, rate_limit={"user": "1/hour", "ip": "9/hour"})
    cookies = ("_app_key=one", "_app_key=two", "_app_key=one")
    assert [ask(limiter, limits, ("Cookie", cookie)) for cookie in cookies] == [200, 200, 429]


def test_a_saved_flow_is_never_counted(tmp_path: Path) -> None:
    limiter, limits = RateLimiter(), settings(tmp_path, **LIMITED)
    made = flow(("Transfer-Encoding", "chunked"))
    exchange = begun(made, limits)
    made.live = False
    limiter.requestheaders(made)
    limiter.request(made)
    assert not exchange.rate_limit_checked

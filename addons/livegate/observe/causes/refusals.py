"""Causes of requests that the gateway refused or could not forward, by the slug of the refusal or failure."""

from livegate.observe.causes.case import Case, CauseText, Rule, rule

RULES: list[Rule] = []
GAVE_UP_AFTER_S = 2.0
"""Shorter waits are ignored, because a closed tab looks the same; `longPollFallbackMs` is usually 2,500."""
_WHOSE = {"user": "user", "ip": "address"}
_HANDSHAKE = ("switched ", "answered the upgrade ", "chose ")
"""Prefixes of the failure details for a 101 that the gateway rejects (`pipeline.policy`)."""
_MALFORMED = frozenset(
    {
        "request-malformed",
        "request-line-malformed",
        "head-unfinished",
        "version-unknown",
        "method-malformed",
        "method-not-allowed",
        "target-malformed",
        "field-folded",
        "field-malformed",
        "host-missing",
        "host-repeated",
        "host-malformed",
        "host-differs",
        "framing-malformed",
        "expectation-unknown",
        "not-a-gateway-connection",
    }
)


@rule(RULES)
def origin_refused(case: Case) -> CauseText | None:
    """Match an upgrade whose Origin is not in the gateway's own list."""
    if case.refusal_reason != "origin-refused":
        return None
    setting = case.key("websocket.allowed_origins")
    why = (
        f"{case.the_origin} is not in {setting}."
        if case.origin
        else f"The client sent no Origin, and {setting} lists the origins that may open WebSockets."
    )
    return (
        "Origin refused by this gateway",
        why[0].upper() + why[1:],
        f"Add {case.the_origin} to {setting}, or set it to `null`.",
    )


@rule(RULES)
def rate_limit(case: Case) -> CauseText | None:
    """Match a request over one of the rate limits."""
    if not case.refusal_reason.startswith("rate-limit-"):
        return None
    policy = case.refusal_reason.removeprefix("rate-limit-")
    return (
        "Rate limit exceeded",
        f"This {_WHOSE.get(policy, policy)} sent more requests than its limit allows; WebSocket upgrades count too.",
        f"Raise {case.key(f'rate_limit.{policy}')}; {case.key('rate_limit.dry_run')} only logs what it would refuse.",
    )


@rule(RULES)
def too_many_sockets(case: Case) -> CauseText | None:
    """Match an upgrade over one of the limits on open sockets."""
    if not case.refusal_reason.startswith("sockets-"):
        return None
    bound = case.refusal_reason.removeprefix("sockets-").replace("-", "_")
    where = {"total": "on this gateway", "per_service": "to this service", "per_client": "from this address"}
    return (
        "Too many WebSockets",
        f"The maximum number of WebSockets {where.get(bound, '')} is open.",
        (
            f"Raise {case.key(f'websocket.max_connections.{bound}')}, or look for a page that opens sockets and never "
            "closes them."
        ),
    )


@rule(RULES)
def host_unknown(case: Case) -> CauseText | None:
    """Match a Host that no service has."""
    if case.refusal_reason != "unmapped-host":
        return None
    return (
        "No service for this Host",
        "No entry of `services` has the Host of this request, and there is no `services.default`.",
        "Add the host to `services`, or correct the address in the browser.",
    )


@rule(RULES)
def tls_required(case: Case) -> CauseText | None:
    """Match an upgrade over plain HTTP where TLS is required; other requests are redirected."""
    if case.refusal_reason != "tls-required" or not case.upgrade:
        return None
    return (
        "WebSocket without TLS refused",
        "`tls.redirect_http` is on, and an upgrade cannot be redirected, because WebSocket clients do not follow.",
        "Open the page over https, so that its sockets use wss; or set `tls.redirect_http` to `false`.",
    )


@rule(RULES)
def request_malformed(case: Case) -> CauseText | None:
    """Match a request that is not valid HTTP."""
    if case.refusal_reason not in _MALFORMED:
        return None
    return (
        "Malformed HTTP request",
        f"The gateway refused it as `{case.refusal_reason}`; no backend saw it.",
        "Find out what sent it: no browser does. Ignore a scanner; fix a client of your own.",
    )


@rule(RULES)
def upgrade_malformed(case: Case) -> CauseText | None:
    """Match an upgrade that violates RFC 6455 section 4.2.1."""
    if case.refusal_reason != "upgrade-malformed":
        return None
    return (
        "Malformed WebSocket upgrade",
        "An upgrade must be a GET over HTTP/1.1 with `Connection: Upgrade`, version 13, a key, and no body.",
        (
            "Look for a proxy in front of the gateway that drops or rewrites these fields (in nginx, set "
            "`proxy_http_version 1.1` and `proxy_set_header Connection upgrade`), or for a faulty client."
        ),
    )


@rule(RULES)
def head_too_large(case: Case) -> CauseText | None:
    """Match a request head over one of its limits."""
    if case.refusal_reason not in ("head-large", "request-line-long"):
        return None
    return (
        "Request head too large",
        "Its URL or header fields are too long, or it has too many fields; usually cookies have accumulated.",
        "Check the site's cookies and delete old ones; or raise `limits.head` or `limits.headers`.",
    )


@rule(RULES)
def head_slow(case: Case) -> CauseText | None:
    """Match a request head that did not arrive in time."""
    if case.refusal_reason != "request-head-slow":
        return None
    return (
        "Request head timed out",
        "The client started a request and did not finish its head in time.",
        "Ignore a scanner; for a client on a slow network raise `timeouts.request_head`.",
    )


@rule(RULES)
def body_too_large(case: Case) -> CauseText | None:
    """Match a request body over its limit."""
    if case.refusal_reason != "body-too-large":
        return None
    return (
        "Request body too large",
        "The request body is larger than `limits.body`.",
        "Raise `limits.body`, or upload through the LiveView (`allow_upload`), which sends chunks over its socket.",
    )


@rule(RULES)
def backend_unreachable(case: Case) -> CauseText | None:
    """Match a backend that accepts no connections."""
    if case.refusal_reason not in ("backend-unreachable", "timeout-connect"):
        return None
    late = case.refusal_reason == "timeout-connect"
    return (
        "Backend unreachable",
        f"No connection was established within {case.key('timeouts.connect')}."
        if late
        else "Nothing accepts connections at its address, or, with https, it does not speak TLS.",
        f"Start the app, or correct {case.key('backend')} (host, port, http or https)"
        + (", or look for a firewall in between." if late else "."),
    )


@rule(RULES)
def backend_untrusted(case: Case) -> CauseText | None:
    """Match a backend whose certificate was rejected."""
    if case.refusal_reason != "backend-untrusted":
        return None
    return (
        "Backend's certificate rejected",
        "It is for another name, is not valid at this time, or is not signed by a trusted authority.",
        (
            f"Set its authority in {case.key('tls.ca_file')} or its name in {case.key('tls.server_name')}; "
            f"or set {case.key('tls.verify')} to `false`."
        ),
    )


@rule(RULES)
def backend_slow(case: Case) -> CauseText | None:
    """Match a backend that accepted the connection and sent no response."""
    if case.refusal_reason not in ("timeout-response", "timeout-upgrade"):
        return None
    setting = case.key(f"timeouts.{case.refusal_reason.removeprefix('timeout-')}")
    return (
        "Backend did not respond in time",
        f"It accepted the request and sent no response within {setting}.",
        f"Find what is slow in the app (mount, a query, an external service), or raise {setting}.",
    )


@rule(RULES)
def handshake_wrong(case: Case) -> CauseText | None:
    """Match a 101 that a client must not accept (RFC 6455 section 4.1); browsers would fail it as well."""
    if case.refusal_reason != "backend-broken" or not case.failure_detail.startswith(_HANDSHAKE):
        return None
    return (
        "Invalid upgrade response from the app",
        f"It {case.failure_detail}.",
        (
            "Check the app's WebSocket server and any proxy between the gateway and the app. Such a proxy often adds "
            "subprotocols or extensions that were not offered; see also "
            f"{case.key('websocket.compression')}."
        ),
    )


@rule(RULES)
def backend_broken(case: Case) -> CauseText | None:
    """Match a response that ended early or is not HTTP."""
    if case.refusal_reason not in ("backend-broken", "backend-invalid") or case.failure_detail.startswith(_HANDSHAKE):
        return None
    return (
        "Incomplete or invalid response from the backend",
        "It accepted the request, then closed the connection before the response was complete, or sent invalid HTTP.",
        (
            "Check the app's log at this moment for a crash or a restart, and the scheme (http or https) and port of "
            f"{case.key('backend')}."
        ),
    )


@rule(RULES)
def client_gave_up(case: Case) -> CauseText | None:
    """Match a client that closed the connection while its upgrade was pending."""
    if case.refusal_reason != "client-gone" or not case.upgrade:
        return None
    if case.waited_s is None or case.waited_s < GAVE_UP_AFTER_S:
        return None
    return (
        "Client gave up on the upgrade",
        f"It closed the connection after {case.waited_s:.1f} s without a response to its WebSocket upgrade.",
        (
            "Find out why the app is slow to respond; phoenix.js with `longPollFallbackMs` falls back to long-poll "
            "after that time."
        ),
    )


@rule(RULES)
def gateway_failed(case: Case) -> CauseText | None:
    """Match an exception in the gateway or in an addon."""
    failed = (case.by, case.reason) == ("gateway", "the gateway failed")
    if case.refusal_reason not in ("internal-error", "unrouted") and not failed:
        return None
    return (
        "The gateway failed",
        "The gateway, or another addon that was loaded, raised an exception; no request bypassed the rules.",
        "Look for the traceback in the gateway's log at this moment; try without other addons.",
    )


@rule(RULES)
def killed(case: Case) -> CauseText | None:
    """Match `flow.kill()`, by an addon or in mitmproxy's interface."""
    if case.refusal_reason != "killed" and (case.by, case.reason) != ("gateway", "killed"):
        return None
    return (
        "Flow killed",
        "It was killed in mitmweb or mitmproxy, or by an addon.",
        "Nothing, if this was intended.",
    )


@rule(RULES)
def gateway_draining(case: Case) -> CauseText | None:
    """Match the gateway's own shutdown."""
    if case.refusal_reason != "draining" and (case.by, case.reason) != ("gateway", "the gateway is being stopped"):
        return None
    return (
        "Gateway shutting down",
        (
            "While it stops, it refuses requests and closes sockets with 1012, spread over `timeouts.drain`; browsers "
            "reconnect on their own."
        ),
        "Nothing, if the restart was intended.",
    )

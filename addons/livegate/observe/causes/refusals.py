"""Causes of what the gateway itself refused, or could not carry to a backend: by the slug that stands in its log."""

from livegate.observe.causes.case import Case, Rule, Words, rule

RULES: list[Rule] = []
GAVE_UP_AFTER_S = 2.0
"""A client that goes away sooner may be a tab that was closed; `longPollFallbackMs` is mostly 2,500."""
_WHOSE = {"user": "user", "ip": "address"}
_HANDSHAKE = ("switched ", "answered the upgrade ", "chose ")
"""How the gateway's words for a 101 that it does not accept begin (`pipeline.policy`)."""
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
def origin_refused(case: Case) -> Words | None:
    """The gateway's own list of origins."""
    if case.refusal_reason != "origin-refused":
        return None
    setting = case.key("websocket.allowed_origins")
    why = (
        f"{case.the_origin} is not in {setting}."
        if case.origin
        else f"The client sent no Origin, and {setting} says which origins may open WebSockets."
    )
    return (
        "Origin refused by this gateway",
        why[0].upper() + why[1:],
        f"Add {case.the_origin} to {setting}, or set that to `null`.",
    )


@rule(RULES)
def rate_limit(case: Case) -> Words | None:
    """HTTP's rate limits; upgrades count as requests."""
    if not case.refusal_reason.startswith("rate-limit-"):
        return None
    policy = case.refusal_reason.removeprefix("rate-limit-")
    return (
        "Rate limit",
        f"More requests than the budget of this {_WHOSE.get(policy, policy)} allows; WebSocket upgrades count.",
        f"Raise {case.key(f'rate_limit.{policy}')}; {case.key('rate_limit.dry_run')} only logs what would be refused.",
    )


@rule(RULES)
def too_many_sockets(case: Case) -> Words | None:
    """A bound on open sockets."""
    if not case.refusal_reason.startswith("sockets-"):
        return None
    bound = case.refusal_reason.removeprefix("sockets-").replace("-", "_")
    where = {"total": "on this gateway", "per_service": "to this service", "per_client": "from this address"}
    return (
        "Too many WebSockets",
        f"As many are open {where.get(bound, '')} as are allowed.",
        (
            f"Raise {case.key(f'websocket.max_connections.{bound}')}, or look for a page that opens sockets and leaves "
            "them."
        ),
    )


@rule(RULES)
def host_unknown(case: Case) -> Words | None:
    """No service has this Host."""
    if case.refusal_reason != "unmapped-host":
        return None
    return (
        "No service for this Host",
        "The Host of the request is in no entry of `services`, and there is no `services.default`.",
        "Add the host to `services`, or correct the address in the browser.",
    )


@rule(RULES)
def tls_required(case: Case) -> Words | None:
    """A plain WebSocket upgrade where all has to be TLS; other requests are led there by a redirect."""
    if case.refusal_reason != "tls-required" or not case.upgrade:
        return None
    return (
        "WebSocket without TLS refused",
        "`tls.redirect_http` is on. A WebSocket cannot be redirected, so an upgrade over plain HTTP is refused.",
        "Open the page with https, so that its sockets are wss; or set `tls.redirect_http` to false.",
    )


@rule(RULES)
def request_malformed(case: Case) -> Words | None:
    """Requests that no backend should have to judge."""
    if case.refusal_reason not in _MALFORMED:
        return None
    return (
        "Request that is not proper HTTP",
        f"It was refused as `{case.refusal_reason}`, before any backend saw it.",
        "Look at what sent it: no browser does. A scanner can be left alone; a client of your own has to be mended.",
    )


@rule(RULES)
def upgrade_malformed(case: Case) -> Words | None:
    """An upgrade that RFC 6455 section 4.2.1 does not allow."""
    if case.refusal_reason != "upgrade-malformed":
        return None
    return (
        "Not a proper WebSocket upgrade",
        "An upgrade is a GET over HTTP/1.1 with `Connection: Upgrade`, version 13, a key, and no body.",
        (
            "Look for a proxy in front of the gateway that drops or rewrites these fields (in nginx: "
            "`proxy_http_version 1.1` and `proxy_set_header Connection upgrade`), or a client of your own."
        ),
    )


@rule(RULES)
def head_too_large(case: Case) -> Words | None:
    """Bounds of a request's head."""
    if case.refusal_reason not in ("head-large", "request-line-long"):
        return None
    return (
        "Request head too large",
        "Its header fields or its URL are longer than allowed, or too many; mostly it is cookies that have piled up.",
        "Delete the site's cookies and see which are set; else raise `limits.head` or `limits.headers`.",
    )


@rule(RULES)
def head_slow(case: Case) -> Words | None:
    """A head that did not come to its end."""
    if case.refusal_reason != "request-head-slow":
        return None
    return (
        "Request head came too slowly",
        "The client began a request and did not end its head in time.",
        "Nothing for a scanner; for a client on a slow line raise `timeouts.request_head`.",
    )


@rule(RULES)
def body_too_large(case: Case) -> Words | None:
    """A bound of a request's body."""
    if case.refusal_reason != "body-too-large":
        return None
    return (
        "Request body too large",
        "The body of the request is longer than `limits.body`.",
        "Raise `limits.body`, or upload through the LiveView (`allow_upload`), which sends chunks on its socket.",
    )


@rule(RULES)
def backend_unreachable(case: Case) -> Words | None:
    """No connection to the backend."""
    if case.refusal_reason not in ("backend-unreachable", "timeout-connect"):
        return None
    late = case.refusal_reason == "timeout-connect"
    return (
        "Backend not reachable",
        f"No connection came about within {case.key('timeouts.connect')}."
        if late
        else "Nothing accepts connections at its address, or, with https, it does not speak TLS there.",
        f"Start the app, or correct {case.key('backend')} (host, port, http or https)"
        + (", or look for a firewall between." if late else "."),
    )


@rule(RULES)
def backend_untrusted(case: Case) -> Words | None:
    """The backend's certificate."""
    if case.refusal_reason != "backend-untrusted":
        return None
    return (
        "Backend's certificate not accepted",
        "It is of another name, out of date, or not signed by an authority that is trusted.",
        (
            f"Name its authority in {case.key('tls.ca_file')}, its name in {case.key('tls.server_name')}; "
            f"or set {case.key('tls.verify')} to false."
        ),
    )


@rule(RULES)
def backend_slow(case: Case) -> Words | None:
    """The backend accepted, and then said nothing."""
    if case.refusal_reason not in ("timeout-response", "timeout-upgrade"):
        return None
    setting = case.key(f"timeouts.{case.refusal_reason.removeprefix('timeout-')}")
    return (
        "Backend did not answer in time",
        f"It took the request and sent no answer within {setting}.",
        f"Find what is slow in the app (mount, a query, an external service), or raise {setting}.",
    )


@rule(RULES)
def handshake_wrong(case: Case) -> Words | None:
    """A 101 that RFC 6455 section 4.1 does not let a client accept; browsers would close it as well."""
    if case.refusal_reason != "backend-broken" or not case.failure_detail.startswith(_HANDSHAKE):
        return None
    return (
        "The app's answer to the upgrade is wrong",
        f"It {case.failure_detail}.",
        (
            "Look at the app's WebSocket server, or a proxy between the gateway and the app. Subprotocols and "
            "extensions that were not offered are often made up by such a proxy; see also "
            f"{case.key('websocket.compression')}."
        ),
    )


@rule(RULES)
def backend_broken(case: Case) -> Words | None:
    """The backend's answer ended early or was none."""
    if case.refusal_reason not in ("backend-broken", "backend-invalid") or case.failure_detail.startswith(_HANDSHAKE):
        return None
    return (
        "Backend broke the connection",
        "It took the request and ended the connection before its answer was whole, or sent what is not HTTP.",
        (
            "Look at the app's log of that moment, whether it was killed or restarted; check scheme (http or https) "
            f"and port of {case.key('backend')}."
        ),
    )


@rule(RULES)
def client_gave_up(case: Case) -> Words | None:
    """The client went away while its upgrade was under way."""
    if case.refusal_reason != "client-gone" or not case.upgrade:
        return None
    if case.waited_s is None or case.waited_s < GAVE_UP_AFTER_S:
        return None
    return (
        "Client gave up the upgrade",
        f"It closed the connection after {case.waited_s:.1f} s without a response to its WebSocket upgrade.",
        (
            "See why the app is slow to answer: phoenix.js with "
            "`longPollFallbackMs` goes over to long-poll after that time."
        ),
    )


@rule(RULES)
def gateway_failed(case: Case) -> Words | None:
    """A fault of the gateway or of an addon."""
    broke_down = (case.by, case.reason) == ("gateway", "the gateway failed")
    if case.refusal_reason not in ("internal-error", "unrouted") and not broke_down:
        return None
    return (
        "The gateway failed",
        "It, or an addon that was loaded besides, raised an exception; nothing was let through unjudged.",
        "Look for the traceback in the gateway's log at that moment; try without other addons.",
    )


@rule(RULES)
def killed(case: Case) -> Words | None:
    """`flow.kill()`, or the key for it in mitmweb."""
    if case.refusal_reason != "killed" and (case.by, case.reason) != ("gateway", "killed"):
        return None
    return (
        "Flow was killed",
        "A person killed it in mitmweb or mitmproxy, or an addon did.",
        "Nothing, when it was meant.",
    )


@rule(RULES)
def gateway_draining(case: Case) -> Words | None:
    """The gateway itself stops."""
    if case.refusal_reason != "draining" and (case.by, case.reason) != ("gateway", "the gateway is being stopped"):
        return None
    return (
        "The gateway was being stopped",
        (
            "It refuses requests and closes sockets with 1012, spread over `timeouts.drain`; browsers come back by "
            "themselves."
        ),
        "Nothing, when it was restarted on purpose.",
    )

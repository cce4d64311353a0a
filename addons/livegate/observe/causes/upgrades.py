"""Causes of WebSocket upgrades that the app, not the gateway, has refused: by the status of its answer."""

from mitmproxy.net.http import status_codes

from livegate.observe.causes.case import Case, Rule, Words, rule

RULES: list[Rule] = []


def _app_responded(case: Case, first: int, last: int) -> bool:
    """Whether the app itself answered an upgrade, with a status of this range."""
    return case.upgrade and not case.refusal_reason and case.status is not None and first <= case.status <= last


@rule(RULES)
def check_origin(case: Case) -> Words | None:
    """Phoenix's check_origin answers 403; it lets pass what has no Origin."""
    if not _app_responded(case, 403, 403) or not case.vsn_known or not case.origin:
        return None
    setting = case.key("origin")
    other = {"rewrite": "drop", "drop": ""}.get(case.origin_policy, "rewrite")
    here = f", or set {setting} to `{other}`" if other else ""
    return (
        "The app refused the upgrade with 403: check_origin?",
        (
            f"Most often it is Phoenix's `check_origin`: {case.the_origin} is not the host that the app believes to "
            "have (`url: [host: ...]`). Its socket's `connect/3` may also have said `:error`."
        ),
        f"Add {case.the_origin} to `check_origin` of the app's endpoint{here}.",
    )


@rule(RULES)
def connect_refused(case: Case) -> Words | None:
    """A 403 that cannot be for the origin."""
    if not _app_responded(case, 403, 403) or not case.vsn_known or case.origin:
        return None
    return (
        "The app refused the upgrade with 403",
        (
            "No Origin was sent, so it is not `check_origin`: the socket's `connect/3` said `:error`, or a plug "
            "before it refused."
        ),
        "See which parameters or token `connect/3` of the app's socket asks for.",
    )


@rule(RULES)
def vsn_refused(case: Case) -> Words | None:
    """A serializer that Phoenix does not have."""
    if not _app_responded(case, 403, 403) or case.vsn_known:
        return None
    return (
        "The app does not know the client's protocol version",
        "The `vsn` of the socket's URL is neither 1.0.x nor 2.0.x; Phoenix answers 403 to that.",
        "Use a `phoenix.js` that fits the server, or correct `vsn` in a client of your own (`2.0.0`).",
    )


@rule(RULES)
def login_wanted(case: Case) -> Words | None:
    """HTTP authentication, which a browser's WebSocket cannot answer to."""
    if not _app_responded(case, 401, 401):
        return None
    return (
        "The app asks for a login at the upgrade",
        "It answered 401, mostly a plug for basic authentication; browsers do not ask for a password there.",
        "Let the socket's path through that plug, and check the session in the socket or `on_mount`.",
    )


@rule(RULES)
def no_socket_there(case: Case) -> Words | None:
    """The app has nothing at this path."""
    if not _app_responded(case, 404, 404):
        return None
    return (
        "The app has no socket at this path",
        "It answered the upgrade with 404.",
        (
            'Compare the path of `new LiveSocket("/live", ...)` with `socket "/live", Phoenix.LiveView.Socket` of the '
            f"app's endpoint, and see whether {case.key('backend')} is the right app."
        ),
    )


@rule(RULES)
def upgrade_redirected(case: Case) -> Words | None:
    """Redirects are not followed by WebSockets."""
    if not _app_responded(case, 300, 399):
        return None
    return (
        "The app answers the upgrade with a redirect",
        (
            "WebSockets do not follow one. Mostly it is `force_ssl`, which leads to https because it does not see "
            "that the browser uses it already; or a login."
        ),
        "In the app: `force_ssl: [rewrite_on: [:x_forwarded_proto]]`, and let the socket's path through the login.",
    )


@rule(RULES)
def no_websocket_there(case: Case) -> Words | None:
    """An answer as to any other request."""
    if not _app_responded(case, 200, 299):
        return None
    return (
        "The app does not speak WebSocket there",
        f"It answered the upgrade with {case.status}, as if it were any request.",
        (
            f"Check {case.key('backend')} and the path of the socket; or a proxy between the gateway and the app drops "
            "`Upgrade`."
        ),
    )


@rule(RULES)
def upgrade_refused_there(case: Case) -> Words | None:
    """All other refusals by the app."""
    if not _app_responded(case, 400, 499) or case.status in (401, 403, 404):
        return None
    return (
        "The app refused the upgrade",
        (
            f"It answered {case.status}. 400 or 426: it did not see an upgrade, so that a proxy between the gateway "
            "and the app may drop `Upgrade`; 429: a rate limit of its own."
        ),
        f"Look at the app's log; check {case.key('backend')}.",
    )


@rule(RULES)
def upgrade_failed_there(case: Case) -> Words | None:
    """The app raised, or a proxy before it did not reach it."""
    if not _app_responded(case, 500, 599):
        return None
    return (
        "The app failed at the upgrade",
        f"It answered {case.status}: its socket's `connect/3` raised, or a proxy between does not reach it.",
        "Look at the app's log of that moment.",
    )


@rule(RULES)
def upgrade_stripped(case: Case) -> Words | None:
    """A socket's URL was asked for without an upgrade, and the app said no."""
    failed = case.status is not None and case.status >= status_codes.BAD_REQUEST
    if case.upgrade or case.refusal_reason or not case.socket_url or not failed or not case.websocket_fields:
        return None
    return (
        "Upgrade lost before the gateway",
        (
            "A request had the fields of a WebSocket handshake, but no `Upgrade: websocket`: something in front of the "
            "gateway drops it."
        ),
        (
            "In a proxy in front of the gateway pass the upgrade on; in nginx: `proxy_http_version 1.1`, "
            "`proxy_set_header Upgrade $http_upgrade` and `proxy_set_header Connection upgrade`."
        ),
    )

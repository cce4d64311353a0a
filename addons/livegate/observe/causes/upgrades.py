"""Causes of WebSocket upgrades that the app, not the gateway, refused, by the status of its response."""

from mitmproxy.net.http import status_codes

from livegate.observe.causes.case import Case, CauseText, Rule, rule

RULES: list[Rule] = []


def _app_responded(case: Case, first: int, last: int) -> bool:
    """Return whether the app itself responded to an upgrade, with a status in this range."""
    return case.upgrade and not case.refusal_reason and case.status is not None and first <= case.status <= last


@rule(RULES)
def check_origin(case: Case) -> CauseText | None:
    """Match a 403 to an upgrade with an Origin; Phoenix's check_origin accepts upgrades without one."""
    if not _app_responded(case, 403, 403) or not case.vsn_known or not case.origin:
        return None
    setting = case.key("origin")
    other = {"rewrite": "drop", "drop": ""}.get(case.origin_policy, "rewrite")
    here = f", or set {setting} to `{other}`" if other else ""
    return (
        "The app refused the upgrade with 403: check_origin?",
        (
            f"Most often this is Phoenix's `check_origin`: {case.the_origin} is not the host in the app's "
            "configuration (`url: [host: ...]`). The socket's `connect/3` may also have returned `:error`."
        ),
        f"Add {case.the_origin} to `check_origin` of the app's endpoint{here}.",
    )


@rule(RULES)
def connect_refused(case: Case) -> CauseText | None:
    """Match a 403 to an upgrade without an Origin."""
    if not _app_responded(case, 403, 403) or not case.vsn_known or case.origin:
        return None
    return (
        "The app refused the upgrade with 403",
        (
            "The client sent no Origin, so this is not `check_origin`: the socket's `connect/3` returned `:error`, or "
            "a plug before it refused the request."
        ),
        "Check which parameters or token `connect/3` of the app's socket requires.",
    )


@rule(RULES)
def vsn_refused(case: Case) -> CauseText | None:
    """Match a `vsn` for which Phoenix has no serializer."""
    if not _app_responded(case, 403, 403) or case.vsn_known:
        return None
    return (
        "The app does not support the client's protocol version",
        "The `vsn` in the socket's URL is neither 1.0.x nor 2.0.x; Phoenix responds with 403.",
        "Use a `phoenix.js` that matches the server; in a client of your own set `vsn` to `2.0.0`.",
    )


@rule(RULES)
def login_wanted(case: Case) -> CauseText | None:
    """Match HTTP authentication, which browsers do not offer for WebSockets."""
    if not _app_responded(case, 401, 401):
        return None
    return (
        "The app requires a login for the upgrade",
        "It responded with 401, usually from `Plug.BasicAuth`; browsers show no password prompt here.",
        "Exempt the socket's path from that plug, and check the session in the socket or in `on_mount`.",
    )


@rule(RULES)
def no_socket_there(case: Case) -> CauseText | None:
    """Match a 404 to an upgrade."""
    if not _app_responded(case, 404, 404):
        return None
    return (
        "The app has no socket at this path",
        "It responded to the upgrade with 404.",
        (
            'Compare the path of `new LiveSocket("/live", ...)` with `socket "/live", Phoenix.LiveView.Socket` of the '
            f"app's endpoint, and check that {case.key('backend')} is the right app."
        ),
    )


@rule(RULES)
def upgrade_redirected(case: Case) -> CauseText | None:
    """Match a redirect, which WebSocket clients do not follow."""
    if not _app_responded(case, 300, 399):
        return None
    return (
        "The app redirected the upgrade",
        (
            "WebSocket clients do not follow redirects. Usually this is `force_ssl`, which does not know that the "
            "browser already uses https; or a login."
        ),
        "In the app, set `force_ssl: [rewrite_on: [:x_forwarded_proto]]`, and exempt the socket's path from the login.",
    )


@rule(RULES)
def no_websocket_there(case: Case) -> CauseText | None:
    """Match a response as to an ordinary request."""
    if not _app_responded(case, 200, 299):
        return None
    return (
        "No WebSocket at this path of the app",
        f"It responded to the upgrade with {case.status}, as to an ordinary request.",
        (
            f"Check {case.key('backend')} and the path of the socket, and whether a proxy between the gateway and the "
            "app drops `Upgrade`."
        ),
    )


@rule(RULES)
def upgrade_refused_there(case: Case) -> CauseText | None:
    """Match any other 4xx to an upgrade."""
    if not _app_responded(case, 400, 499) or case.status in (401, 403, 404):
        return None
    return (
        "The app refused the upgrade",
        (
            f"It responded with {case.status}. 400 or 426: it saw no upgrade, so a proxy between the gateway and the "
            "app may drop `Upgrade`; 429: its own rate limit."
        ),
        f"Check the app's log and {case.key('backend')}.",
    )


@rule(RULES)
def upgrade_failed_there(case: Case) -> CauseText | None:
    """Match a 5xx to an upgrade: the app raised, or a proxy in front of it does not reach it."""
    if not _app_responded(case, 500, 599):
        return None
    return (
        "The app failed during the upgrade",
        f"It responded with {case.status}: its socket's `connect/3` raised, or a proxy in between does not reach it.",
        "Check the app's log at this moment.",
    )


@rule(RULES)
def upgrade_stripped(case: Case) -> CauseText | None:
    """Match a refused request with the fields of a handshake but without `Upgrade`."""
    failed = case.status is not None and case.status >= status_codes.BAD_REQUEST
    if case.upgrade or case.refusal_reason or not case.socket_url or not failed or not case.websocket_fields:
        return None
    return (
        "Upgrade lost in front of the gateway",
        (
            "The request had the fields of a WebSocket handshake but no `Upgrade: websocket`; something in front of "
            "the gateway drops it."
        ),
        (
            "Let the proxy in front of the gateway forward the upgrade; in nginx: `proxy_http_version 1.1`, "
            "`proxy_set_header Upgrade $http_upgrade` and `proxy_set_header Connection upgrade`."
        ),
    )

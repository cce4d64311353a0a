"""Classification of failures: from an event of the transport to the status, slug and message for the client."""

from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.record import Exchange
from livegate.proxy.policy import Failure, FailureKind

CLIENT_CLOSED = Refusal(499, "The client closed its connection before the response.", "client-gone")
"""nginx's status for it. It is logged and never sent."""

_CANCELLED = ("connection cancelled", "client disconnected")
"""Start of mitmproxy's messages for a connect that it cancelled, for example because the client left meanwhile."""
_BY_KIND = {
    FailureKind.REQUEST_TOO_LARGE: Refusal(413, "The request body is too large.", "body-too-large"),
    FailureKind.REQUEST_MALFORMED: Refusal(400, "The request is malformed.", "request-malformed", close=True),
    FailureKind.HOST_MISSING: Refusal(400, "The request names no host.", "host-missing", close=True),
}


def _is_cancelled(message: str) -> bool:
    return message.lower().startswith(_CANCELLED)


def refusal_for(failure: Failure, exchange: Exchange) -> Refusal:  # noqa: PLR0911 - a table of cases
    """Return status, message and slug for a failed exchange (RFC 9110 sections 15.6.3 and 15.6.5 for 502 and 504)."""
    cancelled = failure.kind is FailureKind.CONNECT_FAILED and _is_cancelled(failure.message) and not exchange.timed_out
    if failure.kind is FailureKind.CLIENT_DISCONNECTED or cancelled:
        return CLIENT_CLOSED
    if failure.kind in _BY_KIND:
        return _BY_KIND[failure.kind]
    host = exchange.authority or "this host"
    if exchange.timed_out:
        return _timeout(exchange, host)
    if exchange.service is None:
        return Refusal(500, "The gateway failed while it handled this request.", "unrouted")
    if failure.kind is FailureKind.CONNECT_FAILED and "ertificate" in failure.message:
        return Refusal(502, f"The service for {host} did not prove its identity (TLS).", "backend-untrusted")
    if failure.kind is FailureKind.CONNECT_FAILED:
        return Refusal(502, f"The service for {host} could not be reached.", "backend-unreachable")
    if failure.kind is FailureKind.RESPONSE_INVALID:
        return Refusal(502, f"The service for {host} sent an invalid response.", "backend-invalid")
    return Refusal(502, f"The service for {host} closed the connection or sent an invalid response.", "backend-broken")


def _timeout(exchange: Exchange, host: str) -> Refusal:
    timeouts = exchange.service.timeouts if exchange.service is not None else exchange.settings.timeouts
    match exchange.timed_out:
        case "connect":
            problem = f"could not be reached within {timeouts.connect:g} s"
        case "upgrade":
            problem = f"did not respond to the WebSocket upgrade within {timeouts.upgrade:g} s"
        case _:
            problem = f"did not respond within {timeouts.response:g} s"
    return Refusal(504, f"The service for {host} {problem}.", f"timeout-{exchange.timed_out}")

"""What a client is told when its exchange fails on the way, decided from what the transport saw."""

from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.record import Exchange
from livegate.proxy.policy import Failure, FailureKind

CLIENT_CLOSED = Refusal(499, "The client went away before it was answered.", "client-gone")
"""nginx's own status for it; nothing is sent, it only stands in the log."""

_CANCELLED = ("connection cancelled", "client disconnected")
"""What mitmproxy says of a connect that it has ended itself, as when the client leaves meanwhile."""
_BY_KIND = {
    FailureKind.REQUEST_TOO_LARGE: Refusal(413, "The request body is larger than allowed.", "body-too-large"),
    FailureKind.REQUEST_MALFORMED: Refusal(400, "The request is malformed.", "request-malformed", close=True),
    FailureKind.HOST_MISSING: Refusal(400, "The request names no host.", "host-missing", close=True),
}


def _is_cancelled(message: str) -> bool:
    return message.lower().startswith(_CANCELLED)


def refusal_for(failure: Failure, exchange: Exchange) -> Refusal:  # noqa: PLR0911 - a table of cases
    """Choose status, words and slug for a failed exchange (RFC 9110 sections 15.6.3 and 15.6.5 for 502 and 504)."""
    given_up = failure.kind is FailureKind.CONNECT_FAILED and _is_cancelled(failure.message) and not exchange.timed_out
    if failure.kind is FailureKind.CLIENT_DISCONNECTED or given_up:
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
        return Refusal(502, f"The service for {host} sent an invalid answer.", "backend-invalid")
    return Refusal(502, f"The service for {host} broke the connection or sent no valid answer.", "backend-broken")


def _timeout(exchange: Exchange, host: str) -> Refusal:
    timeouts = exchange.service.timeouts if exchange.service is not None else exchange.settings.timeouts
    match exchange.timed_out:
        case "connect":
            problem = f"could not be reached within {timeouts.connect:g} s"
        case "upgrade":
            problem = f"did not answer the WebSocket upgrade within {timeouts.upgrade:g} s"
        case _:
            problem = f"did not answer within {timeouts.response:g} s"
    return Refusal(504, f"The service for {host} {problem}.", f"timeout-{exchange.timed_out}")

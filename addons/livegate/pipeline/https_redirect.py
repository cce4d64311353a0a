"""Redirects plain HTTP to HTTPS if `tls.redirect_http` is set."""

from mitmproxy import http

from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.record import awaiting_backend
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed


class HttpsRedirect:
    """Respond 308 (RFC 9110 section 15.4.9: method and body stay) with the same host, port, path and query."""

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        exchange = awaiting_backend(flow)
        if exchange is None or not exchange.settings.tls.redirect_http or exchange.scheme == "https":
            return
        if exchange.upgrade:
            message = "This host needs TLS; connect with wss."
            refuse(flow, Refusal(426, message, "tls-required", (("Upgrade", "TLS/1.2, HTTP/1.1"),), close=True))
            return
        # The URI of `OPTIONS *` has no path (RFC 9112 section 3.2.4).
        path = flow.request.path.removeprefix("*")
        location = f"https://{exchange.authority}{path}"
        message = "This host needs TLS."
        refuse(flow, Refusal(308, message, "tls-required", (("Location", location),)))

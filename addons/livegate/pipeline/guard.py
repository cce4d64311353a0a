"""Refuses requests that are malformed, ambiguous or meant for a forward proxy, before any other addon sees them."""

from mitmproxy import http
from mitmproxy.net.http import http1

from livegate.http1 import request_head, upgrade
from livegate.http1.refusal import Refusal
from livegate.pipeline.exchange.record import Exchange, start_exchange
from livegate.pipeline.exchange.responses import refuse
from livegate.pipeline.fail_closed import fail_closed
from livegate.pipeline.reverse_mode import is_reverse
from livegate.settings import CurrentSettings

NOT_OURS = Refusal(400, "This is not a forward proxy.", "not-a-gateway-connection", close=True)
NO_TUNNELS = request_head.method_refusal(b"CONNECT")


class Guard:
    """Start the record of each flow, and apply the rules of `http1`."""

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current

    @fail_closed
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not flow.live or flow.response is not None:
            return
        exchange = start_exchange(flow, self._current.value)
        exchange.close_connection = http1.connection_close(flow.request.http_version, flow.request.headers)
        if flow.error is not None:
            return  # mitmproxy has refused it already; the log needs the record
        refusal = self._refusal(flow, exchange)
        if refusal is not None:
            refuse(flow, refusal)
            return
        exchange.authority = flow.request.headers["host"].strip()
        flow.request.authority = ""  # a target in absolute-form that agrees with Host is sent in origin-form

    @fail_closed
    def http_connect(self, flow: http.HTTPFlow) -> None:
        refuse(flow, NO_TUNNELS or NOT_OURS)

    def _refusal(self, flow: http.HTTPFlow, exchange: Exchange) -> Refusal | None:
        if not is_reverse(flow.client_conn):
            return NOT_OURS
        data, fields = flow.request.data, flow.request.headers.fields
        target = data.scheme + b"://" + data.authority + data.path if data.authority else data.path
        refusal = request_head.parsed_head_refusal(
            method=data.method,
            target=target,
            version=data.http_version,
            fields=fields,
            max_headers=exchange.settings.limits.headers,
        ) or request_head.message_refusal(authority=data.authority, scheme=data.scheme, fields=fields)
        if refusal is None and upgrade.is_upgrade(fields):
            refusal = upgrade.upgrade_refusal(method=data.method, version=data.http_version, fields=fields)
            exchange.upgrade = refusal is None
        return refusal

"""Policy fails closed: the decorator of every hook that decides about a request."""

import functools
import logging
from collections.abc import Callable

from mitmproxy import http

from livegate.logs.context import about
from livegate.mitm.hook_table import hook_errors
from livegate.pipeline.exchange.record import exchange_of
from livegate.pipeline.exchange.responses import internal_error, refuse

logger = logging.getLogger(__name__)


def fail_closed[Addon](
    hook: Callable[[Addon, http.HTTPFlow], None],
) -> Callable[[Addon, http.HTTPFlow], None]:
    """Wrap a hook `(self, flow)`. If it raises, the response is 500 and the exception is logged.

    mitmproxy would log the exception and forward the flow unchanged, past the policy.
    """

    @functools.wraps(hook)
    def guarded(self: Addon, flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception:
            exchange = exchange_of(flow)
            hook_errors[hook.__name__] += 1
            logger.exception("%s.%s failed; responded 500", type(self).__name__, hook.__name__, extra=about(flow))
            refuse(flow, internal_error(exchange))

    return guarded

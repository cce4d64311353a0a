"""Holds mitmproxy's options to what is safe for a gateway. The first addon of the pipeline."""

import logging

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader

from livegate.mitm.options import is_set
from livegate.pipeline.reverse_mode import all_are_gateway_modes

logger = logging.getLogger(__name__)

SAFE_OPTIONS: dict[str, object] = {
    "connection_strategy": "lazy",  # eager: connects to a backend before there is a request
    "keep_host_header": True,  # else mitmproxy rewrites Host before the router reads it
    "http2": False,  # a client's HTTP/2 connection would share five backend connections, and long-polls starve
    "onboarding": False,  # else mitmproxy's own app responds to every client that sends `Host: mitm.it`
    "rawtcp": False,  # else traffic that does not look like HTTP is tunnelled
    "block_global": False,  # else clients with public addresses are refused
    "validate_inbound_headers": True,  # else request smuggling is not refused
    "emudhra": False,  # else certificates are signed with the key of a compromised CA, which anybody has
    "emudhra_old": False,
}
"""Values that a gateway needs, and the reason. Not every version of mitmproxy has all of these options."""
IGNORED_OPTIONS = {"stream_large_bodies": "limits.stream_above", "body_size_limit": "limits.body"}
"""Options that have no effect, and the setting that replaces each."""


class SafeOptions:
    """Set unsafe defaults to safe values. A user's unsafe choice ends the start; while running, a change is refused."""

    def __init__(self) -> None:
        self._running = False

    def load(self, loader: Loader) -> None:
        del loader
        self._apply()

    def configure(self, updated: set[str]) -> None:
        if not self._running:
            return
        for name, safe in _safe_options():
            if name in updated and getattr(ctx.options, name) != safe:
                raise exceptions.OptionsError(f"{name} must stay {safe} while livegate runs.")
        if "mode" in updated and not all_are_gateway_modes(ctx.options.mode):
            raise exceptions.OptionsError("livegate serves as a reverse proxy only; its settings say where it listens.")

    def running(self) -> None:
        self._apply()
        self._running = True

    def _apply(self) -> None:
        _log_problems()
        for name, safe in _safe_options():
            if not is_set(name) and getattr(ctx.options, name) != safe:
                ctx.options.update(**{name: safe})
        if "flow_detail" in ctx.options and not ctx.options.has_changed("flow_detail"):
            ctx.options.update(flow_detail=0)  # mitmdump's own lines show whole queries; the access log replaces them


def _safe_options() -> list[tuple[str, object]]:
    """Return the safe options that this mitmproxy has."""
    return [(name, safe) for name, safe in SAFE_OPTIONS.items() if name in ctx.options]


def _log_problems() -> None:
    """Log an error for each unsafe option that the user set. Errors during start end mitmproxy with status 1."""
    for name, safe in _safe_options():
        found = getattr(ctx.options, name)
        if is_set(name) and found != safe:
            logger.error("option %s=%s is unsafe for a gateway, which needs %s: remove it", name, found, safe)
    if is_set("mode") and not all_are_gateway_modes(ctx.options.mode):
        logger.error(
            "mode %s is not the gateway's: remove --mode (to choose where it listens, use `listen` in the settings, "
            "or --listen-host and --listen-port)",
            " ".join(ctx.options.mode),
        )
    for name, instead in IGNORED_OPTIONS.items():
        if getattr(ctx.options, name):
            logger.warning("option %s is ignored: use `%s` in the settings", name, instead)

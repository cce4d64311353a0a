"""The gateway's mitmproxy mode: a reverse proxy with a target that does not exist, so unrouted requests fail."""

from collections.abc import Iterable

from mitmproxy import connection

from livegate.settings import Listen

BLACK_HOLE = ("livegate.invalid", 1)
"""Target of the mode. The name never exists (RFC 6761 section 6.4), so an unrouted request cannot go anywhere."""
MODE = f"reverse:http://{BLACK_HOLE[0]}:{BLACK_HOLE[1]}"


def mode_spec(listen: Listen) -> str:
    """Return mitmproxy's mode specification for a listener."""
    return f"{MODE}@{listen.host}:{listen.port}" if listen.host else f"{MODE}@{listen.port}"


def all_are_gateway_modes(specs: Iterable[str]) -> bool:
    """Return whether mode specifications are all the gateway's, wherever they listen."""
    return all(spec == MODE or spec.startswith(f"{MODE}@") for spec in specs)


def is_reverse(client: connection.Client) -> bool:
    """Return whether a client is connected in reverse mode, and not by mitmproxy's default mode before start."""
    return client.proxy_mode.type_name == "reverse"

"""Input and output of the rules, and the wording that they share: names of settings, origins and events."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import Push, SocketInfo

MAX_NAMES = 3
"""Events per cause that are named; further ones are counted, so that the sentence stays short."""
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]{1,253}")
"""Form of an origin that may be shown; others come from outside and could be anything."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Explanation of an incident for a person. Text between backticks is literal."""

    slug: str
    title: str
    why: str
    todo: str


@dataclass(frozen=True, slots=True)
class Case:
    """Evidence about a request that failed or was refused, or about a closed socket."""

    service: str = ""
    """Name in the settings; empty for none."""
    refusal_reason: str = ""
    """Slug of the gateway's own refusal or failure."""
    failure_detail: str = ""
    """The gateway's description of the backend's fault; may contain addresses."""
    status: int | None = None
    """Status of the HTTP response."""
    upgrade: bool = False
    """Whether it was a WebSocket upgrade."""
    websocket_fields: bool = False
    """Whether the request had fields that only WebSocket upgrades have: `Sec-WebSocket-Key` or `-Version`."""
    waited_s: float | None = None
    """Seconds that a request waited for its response; None when unknown."""
    socket_url: bool = False
    """Whether it was for a URL where phoenix.js opens WebSockets: `.../websocket?vsn=...`."""
    vsn_known: bool = True
    """Whether Phoenix has a serializer for the `vsn` of the URL."""
    origin: str = ""
    """Origin as the client sent it, or as the app received it when the app refused; empty for none."""
    origin_policy: str = "preserve"
    """Setting `origin` of the service."""
    code: int | None = None
    """Close code of a closed socket; None for a request."""
    by: str = ""
    """Side that closed: `client`, `backend` or `gateway`."""
    reason: str = ""
    socket: SocketInfo | None = None
    """The closed socket, if it carried Phoenix channels."""
    previous_socket: SocketInfo | None = None
    """The previous socket of the same session."""
    heartbeat_pending: bool = False
    """Whether the client's last heartbeat had no reply."""
    unanswered: tuple[Push, ...] = ()
    """Pushes that were pending when the socket closed."""

    def key(self, setting: str) -> str:
        """Return the key of a setting that services may override, in backticks."""
        return f"`services.{self.service}.{setting}`" if self.service else f"`{setting}`"

    @property
    def the_origin(self) -> str:
        """Return the page's origin in backticks if it has the form of one, otherwise in words."""
        return f"`{self.origin}`" if _ORIGIN.fullmatch(self.origin) else "the page's origin"

    @property
    def idle_s(self) -> float | None:
        """Return the seconds from the last frame of the socket to its close; None when unknown."""
        return idle_seconds(self.socket)


class Rule(Protocol):
    """Function that recognizes one cause. Its name, with hyphens, is the slug."""

    __name__: str

    def __call__(self, case: Case, /) -> Cause | None:
        """Return the cause if the evidence supports each of its words."""


type CauseText = tuple[str, str, str]
"""Title, reason, advice."""


def rule(rules: list[Rule]) -> Callable[[Callable[[Case], CauseText | None]], Rule]:
    """Decorator that makes a rule of a function that returns text, and appends it to a list."""

    def decorate(function: Callable[[Case], CauseText | None]) -> Rule:
        slug = function.__name__.replace("_", "-")

        def recognize(case: Case, /) -> Cause | None:
            text = function(case)
            return None if text is None else Cause(slug, *text)

        recognize.__name__, recognize.__doc__ = function.__name__, function.__doc__
        rules.append(recognize)
        return recognize

    return decorate


def idle_seconds(socket: SocketInfo | None) -> float | None:
    """Return the seconds from the last frame of a socket to its close; None when unknown."""
    return None if socket is None or socket.closed_at is None else socket.closed_at - socket.last_frame_at


def names_of(events: Iterable[Push]) -> str:
    """Return events by name and view, each once, the latest first: `"save" on CartLive, the join of MenuLive`."""
    found: list[str] = []
    for event in reversed(list(events)):
        view = shortened(event.view)
        text = f"the join of {view}" if event.kind == "join" else f'"{shortened(event.name)}" on {view}'
        text = text.replace("`", "'")  # because a backtick ends literal text
        if text not in found:
            found.append(text)
    more = f" and {len(found) - MAX_NAMES} more" if len(found) > MAX_NAMES else ""
    return ", ".join(found[:MAX_NAMES]) + more

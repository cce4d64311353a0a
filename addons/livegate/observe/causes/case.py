"""What rules are given and what they find; and how they name settings, places and events."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import Push, SocketInfo

MAX_NAMES = 3
"""Events of which a cause tells by name."""
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]{1,253}")
"""What an origin that can be told looks like; it comes from outside."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause for a person. What stands between backticks is to be typed as it is."""

    slug: str
    title: str
    why: str
    todo: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a request without the answer that was wanted, or of a socket's end."""

    service: str = ""
    """As the settings name it; empty for none."""
    refusal_reason: str = ""
    """The slug of the gateway's own refusal or failure."""
    failure_detail: str = ""
    """The gateway's own words for what a backend did wrong; they may name addresses."""
    status: int | None = None
    """Of the HTTP answer."""
    upgrade: bool = False
    """Whether it was a WebSocket upgrade."""
    websocket_fields: bool = False
    """Whether the request had fields that only WebSocket upgrades have: `Sec-WebSocket-Key` or `-Version`."""
    waited_s: float | None = None
    """Seconds that a request waited for its answer; None when that is not known."""
    socket_url: bool = False
    """Whether it was for a URL where phoenix.js opens WebSockets: `.../websocket?vsn=...`."""
    vsn_known: bool = True
    """Whether Phoenix has a serializer for the `vsn` of the URL."""
    origin: str = ""
    """As the client sent it, or as the app got it when it was the one to refuse; empty for none."""
    origin_policy: str = "preserve"
    """`origin` of the service."""
    code: int | None = None
    """The close code of a socket that has ended; None when this is about something else."""
    by: str = ""
    """Who ended it: client, backend, gateway."""
    reason: str = ""
    socket: SocketInfo | None = None
    """Of a socket that has ended and that carried Phoenix's channels: how its frames went."""
    previous_socket: SocketInfo | None = None
    """The socket of the same session that had ended last before."""
    heartbeat_pending: bool = False
    """Whether the client's last heartbeat had no answer."""
    unanswered: tuple[Push, ...] = ()
    """The pushes that the socket's end left without an answer."""

    def key(self, setting: str) -> str:
        """The key of a setting that a service may have for itself, in backticks."""
        return f"`services.{self.service}.{setting}`" if self.service else f"`{setting}`"

    @property
    def the_origin(self) -> str:
        """The page's origin in backticks where it looks like one, else in words."""
        return f"`{self.origin}`" if _ORIGIN.fullmatch(self.origin) else "the page's origin"

    @property
    def idle_s(self) -> float | None:
        """Seconds from the last frame of a socket to its end; None when that is not known."""
        return idle_seconds(self.socket)


class Rule(Protocol):
    """Finds one cause in a case, or not. Its name is the cause's slug."""

    __name__: str

    def __call__(self, case: Case, /) -> Cause | None:
        """The cause, if the case has it."""


type Words = tuple[str, str, str]
"""Title, why, what to do."""


def rule(rules: list[Rule]) -> Callable[[Callable[[Case], Words | None]], Rule]:
    """Make a rule of a function that finds words, and put it on a list."""

    def made(function: Callable[[Case], Words | None]) -> Rule:
        slug = function.__name__.replace("_", "-")

        def found(case: Case, /) -> Cause | None:
            words = function(case)
            return None if words is None else Cause(slug, *words)

        found.__name__, found.__doc__ = function.__name__, function.__doc__
        rules.append(found)
        return found

    return made


def idle_seconds(socket: SocketInfo | None) -> float | None:
    """Seconds from the last frame of a socket to its end; None when that is not known."""
    return None if socket is None or socket.closed_at is None else socket.closed_at - socket.last_frame_at


def names_of(events: Iterable[Push]) -> str:
    """Events by name and view, each once, the latest first: `"save" on CartLive, the join of MenuLive`."""
    found: list[str] = []
    for event in reversed(list(events)):
        view = shortened(event.view)
        text = f"the join of {view}" if event.kind == "join" else f'"{shortened(event.name)}" on {view}'
        text = text.replace("`", "'")  # which would be taken for the end of what is to be typed
        if text not in found:
            found.append(text)
    more = f" and {len(found) - MAX_NAMES} more" if len(found) > MAX_NAMES else ""
    return ", ".join(found[:MAX_NAMES]) + more

"""What happened in each recorded scene, as a person reads it in the recording; no line of a recording is repeated here."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Incident:
    """One thing that went wrong, as operators are told of it."""

    slug: str
    view: str
    events: tuple[str, ...] = ()
    """That got no answer because of it."""
    healed: str = ""
    times: int = 1


@dataclass(frozen=True)
class Tab:
    """One session of LiveViews: a browser tab from a page load on."""

    path: str
    """Of the main view at the end, or of the page for several."""
    events: str
    """In the order of their sending, by name; those with `!` were lost in a crash, all others answered ok."""
    conns: tuple[int, ...] = ()
    """Its sockets; empty for long-poll."""
    tab: str = "A"
    transport: str = "websocket"
    modules: frozenset[str] = frozenset()
    """Of views that are named by their own signed session."""
    joins: dict[str, int] = field(default_factory=dict)
    """That succeeded, by topic; `*` is the page's own view, a name without a colon one of `lv:`."""
    crashes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    """Reasons."""
    unanswered: int = 0
    pushes: int = 0
    """Diffs that the server sent unasked."""
    uploads: tuple[tuple[str, int, int], ...] = ()
    """Name, bytes, chunks."""
    incidents: tuple[Incident, ...] = ()
    closed: tuple[int | None, ...] = (None,)
    """How each socket has ended; None for one that was still open."""


@dataclass(frozen=True)
class Channel:
    """One session of a socket without LiveViews."""

    conns: tuple[int, ...]
    tab: str = "A"
    joins: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    incidents: tuple[Incident, ...] = ()
    closed: tuple[int | None, ...] = (None,)


def live_reload(conn: int, tab: str = "A", *, closed: int | None = None) -> Channel:
    return Channel((conn,), tab, joins={"phoenix:live_reload": 1}, closed=(closed,))


_NAVIGATION = (
    "inc inc ctick add add add rev shuffle pop row row toast title tick ctick inc unrow patch validate validate slow "
    "ccrash! ctick crash! validate inc nav append prepend mid update limit del reset append navback"
)
_PLAYER = Tab("/s2", "inc ctick inc ctick inc ctick", joins={"*": 3, "player": 2}, closed=(1000, None))

SCENES: dict[str, tuple[Tab | Channel, ...]] = {
    "nested": (
        Tab(
            "/admin",
            _NAVIGATION,
            conns=(1,),
            modules=frozenset({"DemoWeb.ClockLive"}),
            joins={"*": 4, "clock-child": 4},
            crashes={"*": 1, "clock-child": 1},
            refused={"unauthorized": 1},
            unanswered=2,
            pushes=3,
            incidents=(
                Incident("view-crashed", "ClockLive", ("ccrash",), "rejoined"),
                Incident("view-crashed", "CountLive", ("crash",), "rejoined"),
                Incident("unauthorized", "/admin", healed="page reloaded"),
            ),
            closed=(1001,),
        ),
        live_reload(2, closed=1001),
        Tab("/admin", "", conns=(3,), modules=frozenset({"DemoWeb.AdminLive"}), joins={"*": 1}),
        live_reload(4),
    ),
    "sticky-two-users": (
        Tab(**{**vars(_PLAYER), "conns": (1, 5)}),
        live_reload(2),
        Tab(**{**vars(_PLAYER), "conns": (4, 6), "tab": "B"}),
        live_reload(3, "B"),
    ),
    "two-roots": (
        Tab(
            "/dead",
            "ctick append prepend ctick del",
            conns=(2,),
            modules=frozenset({"DemoWeb.ClockLive", "DemoWeb.FeedLive"}),
            joins={"phx-GOwblLaywk-LrQcy": 1, "phx-GOwblLa4uiyLrQdC": 1},
        ),
        live_reload(1),
    ),
    "hook-async-portal": (
        Tab(
            "/hook",
            "ask more more start kill more",
            conns=(1,),
            modules=frozenset({"DemoWeb.HookLive"}),
            joins={"*": 1},
            pushes=3,
        ),
        live_reload(2),
    ),
    "upload": (
        Tab(
            "/upload",
            "validate save",
            conns=(2,),
            modules=frozenset({"DemoWeb.UploadLive"}),
            joins={"*": 1, "lvu:0": 1, "lvu:1": 1},
            pushes=4,
            uploads=(("größe.txt", 150_000, 3), ("b.txt", 70_000, 2)),
        ),
        live_reload(1),
    ),
    "channels-and-presence": (
        Channel(
            (1,),
            joins={"room:lobby": 2},
            crashes={"room:lobby": 1},
            refused={"unauthorized": 3},
            unanswered=1,
            incidents=(
                Incident("channel-refused", "room:private", times=3),
                Incident("channel-crashed", "room:lobby", healed="rejoined"),
            ),
        ),
        Channel(
            (2,),
            "B",
            joins={"room:lobby": 1},
            refused={"unauthorized": 3},
            incidents=(Incident("channel-refused", "room:private", times=3),),
        ),
    ),
    "longpoll": (
        Tab(
            "/feed",
            "inc ctick add add rev row inc tick toast ccrash! inc nav append reset append",
            transport="longpoll",
            modules=frozenset({"DemoWeb.ClockLive"}),
            joins={"*": 2, "clock-child": 2},
            crashes={"clock-child": 1},
            unanswered=1,
            pushes=2,
            incidents=(Incident("view-crashed", "ClockLive", ("ccrash",), "rejoined"),),
        ),
    ),
}
"""Of each scene its sessions, in the order in which they begin."""

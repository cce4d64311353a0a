"""Causes of LiveView sessions that are ill: refused joins, crashes, late answers, transports, versions."""

from collections.abc import Iterator

from livegate.operate.causes.case import Case, Rule, Words, named, rule
from livegate.phoenix.model import Event, Session

RULES: list[Rule] = []
CRASH_LOOP = 3
RELOAD_LOOP = 2
"""So many page loads before this one, each of which ended in a refused join."""
JOIN_TIMEOUT_S = 10.0
"""What a client waits for the answer to a join (phoenix.js)."""
EVENT_TIMEOUT_S = 30.0
"""What it waits for the answer to an event (LiveView's PUSH_TIMEOUT); then it loads the page again."""


def _refused(case: Case, reason: str) -> int:
    return case.session.refusals[reason] if case.session is not None else 0


# Joins that are refused


@rule(RULES)
def csrf_missing(case: Case) -> Words | None:
    """Without the token Phoenix does not look at the cookie."""
    opening = case.session.opening if case.session is not None else None
    if not _refused(case, "stale") or opening is None or opening.csrf:
        return None
    return (
        "Join refused as stale: no CSRF token",
        "The socket's URL has no `_csrf_token`, so the app did not look at the session cookie.",
        (
            "In the page's JavaScript: `new LiveSocket(path, Socket, {params: {_csrf_token: csrfToken}})`, and the tag "
            '`<meta name="csrf-token">` in the root layout.'
        ),
    )


@rule(RULES)
def cookie_missing(case: Case) -> Words | None:
    """The token came, and no cookie to hold against it."""
    opening = case.session.opening if case.session is not None else None
    if not _refused(case, "stale") or opening is None or not opening.csrf or opening.cookie is not False:
        return None
    return (
        "Join refused as stale: no session cookie",
        "The browser sent no cookie with the socket's upgrade.",
        (
            "Look at the app's session cookie: `Secure` over plain http, `SameSite` in a frame of another site, a "
            "`Domain` or `Path` that is not that of the page, or cookies that are blocked."
        ),
    )


@rule(RULES)
def stale(case: Case) -> Words | None:
    """Token and cookie came and do not fit, or the page is too old."""
    opening = case.session.opening if case.session is not None else None
    explained = opening is not None and (not opening.csrf or opening.cookie is False)
    if not _refused(case, "stale") or explained:
        return None
    return (
        "Join refused as stale: CSRF token and session do not fit",
        (
            "The app found no session for the socket: the page's `_csrf_token` is not of the session in the cookie, "
            "or the page is older than its session."
        ),
        (
            "Check that every node has one `secret_key_base` and one `signing_salt`, that no cache serves the page, "
            "and that no other app on this host sets a cookie of the same name."
        ),
    )


@rule(RULES)
def unauthorized(case: Case) -> Words | None:
    """A live navigation across live_sessions."""
    if not _refused(case, "unauthorized"):
        return None
    return (
        "Join refused as unauthorized",
        (
            "The page was navigated to from another `live_session`, whose rights do not count there; the browser "
            "loads it anew."
        ),
        "Use a plain link (`href` instead of `navigate`) between live_sessions, or put both into one.",
    )


@rule(RULES)
def join_reload(case: Case) -> Words | None:
    """Mount raised an exception that stands for an HTTP status."""
    if not _refused(case, "reload"):
        return None
    return (
        "Join refused: the page has to be loaded again",
        (
            "`mount` or `handle_params` raised an exception that stands for an HTTP status, such as "
            "`Ecto.NoResultsError` for 404; the browser asks for the page again to show that."
        ),
        "Load the page without JavaScript to see the status; look at the app's log.",
    )


@rule(RULES)
def join_crashed(case: Case) -> Words | None:
    """Mount raised when it was connected."""
    if not _refused(case, "join crashed"):
        return None
    return (
        "The view crashes when it is joined",
        "`mount`, `handle_params` or the first render raised on the socket; the client loads the page again.",
        "Look at the app's log. As the page itself was served, see what is done only when `connected?(socket)`.",
    )


@rule(RULES)
def topic_unknown(case: Case) -> Words | None:
    """The app's socket has no channel for the topic."""
    if not _refused(case, "unmatched topic"):
        return None
    return (
        "No channel for this topic",
        "The app's socket does not know the topic that was joined.",
        (
            "Compare the topic with the `channel` lines of the app's socket, and the path of the socket: a page's own "
            "channels are not at LiveView's."
        ),
    )


@rule(RULES)
def too_many_channels(case: Case) -> Words | None:
    """Phoenix 1.7.24 and 1.8.9 on: 100 on one socket."""
    if not _refused(case, "too many channels joined"):
        return None
    return (
        "Too many channels on one socket",
        "The app lets one socket join 100 channels; each LiveView, nested ones too, and each upload is one.",
        "Make live components of nested LiveViews, and leave channels that are not needed.",
    )


@rule(RULES)
def reload_loop(case: Case) -> Words | None:
    """Refusals that the browser answers by loading the page, which is refused again."""
    page = case.session.page if case.session is not None else None
    if case.session is None or page is None or page.refused_before < RELOAD_LOOP or not case.session.refusals:
        return None
    return (
        "The page reloads in a loop",
        (
            f"Its join was refused, and so it was at the {page.refused_before} loads of the page just before by this "
            "browser."
        ),
        "Mend what refuses the join, which is told beside this; until then the browser goes on.",
    )


# Crashes and late answers


@rule(RULES)
def crash_loop(case: Case) -> Words | None:
    """The view crashes again and again."""
    session = case.session
    if session is None or session.crashes < CRASH_LOOP:
        return None
    names = named(each for each in session.events if each.outcome == "crash")
    without = f" Without an answer were {names}." if names else " No event was under way: look at `handle_info`."
    return (
        "The view crashes again and again",
        f"It did so {session.crashes} times in one tab; LiveView mounts it anew each time.{without}",
        "The app's log shows where; the frames before each crash show with what.",
    )


@rule(RULES)
def join_late(case: Case) -> Words | None:
    """A join that the client did not wait for."""
    late = [] if case.session is None else list(_late(case.session, "join", JOIN_TIMEOUT_S))
    if not late:
        return None
    return (
        "Join not answered in time",
        f"The client waits {JOIN_TIMEOUT_S:.0f} s, then leaves and joins again: {named(late)}.",
        "Make `mount` quick: load what takes long with `assign_async`, or only when it is asked for.",
    )


@rule(RULES)
def event_late(case: Case) -> Words | None:
    """An event that the client did not wait for."""
    late = [] if case.session is None else list(_late(case.session, "event", EVENT_TIMEOUT_S))
    if not late:
        return None
    return (
        "Event not answered in time",
        f"The client waits {EVENT_TIMEOUT_S:.0f} s, then loads the page again: {named(late)}.",
        "Do what takes long outside of `handle_event`: `start_async`, `assign_async`, or a task that sends a message.",
    )


def _late(session: Session, kind: str, within_s: float) -> Iterator[Event]:
    """Pushes whose answer came later than that, or has not come when more than that has passed."""
    for event in session.events:
        if event.kind != kind:
            continue
        if event.answered_at is not None:
            end = event.answered_at
        elif event.outcome == "pending":
            end = session.last_at
        elif event.outcome == "left":  # as a client that has waited long enough does
            end = _left_at(session, event)
        else:
            continue
        if end - event.sent_at >= within_s:
            yield event


def _left_at(session: Session, joined: Event) -> float:
    """When a channel was left after an event; the time of that event when it is not known."""
    leaves = (
        each.sent_at
        for each in session.events
        if each.kind == "leave" and each.topic == joined.topic and each.sent_at >= joined.sent_at
    )
    return next(leaves, joined.sent_at)


# The client


@rule(RULES)
def long_poll_pinned(case: Case) -> Words | None:
    """phoenix.js remembers in sessionStorage that the WebSocket failed once; long-poll alone is the client's choice."""
    session = case.session
    sockets = session.sockets if session is not None else []
    if session is None or not sockets or sockets[-1].transport != "longpoll" or sockets[-1].closed_at is not None:
        return None
    failed = session.page is not None and session.page.websocket_failed
    if not failed and all(each.transport == "longpoll" for each in sockets):
        return None
    return (
        "Pinned to long-poll",
        "A WebSocket of this tab failed once. It fell back to long-poll, and remembers that as long as it is open.",
        (
            "See why the upgrade failed (among the refused), then in the tab: "
            "`sessionStorage.removeItem('phx:fallback:LongPoll')` and reload."
        ),
    )


@rule(RULES)
def versions_apart(case: Case) -> Words | None:
    """LiveView's client and server of different generations."""
    main = case.session.main if case.session is not None else None
    if main is None or main.version is None or main.modern_client is None:
        return None
    is_old_server = main.version.startswith("0.")
    if main.modern_client != is_old_server:
        return None
    client = "1.0 or later" if main.modern_client else "0.20 or earlier"
    return (
        "LiveView's client and server are versions apart",
        f"The page's JavaScript is LiveView {client}, the server's is {main.version[:20]}; diffs may be misread.",
        (
            "Build the assets anew with the server's version (`mix deps.get`, `npm install`, `mix assets.deploy`), "
            "and look for a cache that serves old ones."
        ),
    )

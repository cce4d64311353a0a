"""What each incident found in frames is called, what is known of why, and what to do; see docs/causes.md.

Pure functions from facts to words, one for each moment. Sources: phoenix.js 1.7 and 1.8, Phoenix.Socket and
Phoenix.Channel.Server 1.8, Phoenix.LiveView.Channel 0.18 to 1.2.
"""

from collections.abc import Iterable

from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import ConnectInfo, Push, View
from livegate.phoenix.topics import UPLOAD_TOPIC

type IncidentText = tuple[str, str, str, str]
"""Slug, title, why, what to do."""

MAX_NAMED_EVENTS = 3
"""Events of which an incident tells by name in a sentence."""
JOIN_TIMEOUT_S = 10.0
"""How long phoenix.js waits for the answer to a push, joins included, unless the page sets another `timeout`."""
EVENT_TIMEOUT_S = 30.0
"""How long LiveView's client waits for the answer to an event (PUSH_TIMEOUT) before it loads the page again."""
SLUGS = (
    "view-crashed",
    "crash-loop",
    "channel-crashed",
    "upload-crashed",
    "csrf-missing",
    "cookie-missing",
    "stale",
    "unauthorized",
    "join-reload",
    "join-crashed",
    "topic-unknown",
    "too-many-channels",
    "join-refused",
    "channel-refused",
    "upload-refused",
    "reload-loop",
    "join-late",
    "event-late",
    "long-poll-pinned",
    "long-poll-origin",
    "versions-apart",
)
"""Of all incidents that are found in frames."""
_LOG = "Look for the exception in the app's log at this moment"
_SHORT_ENOUGH = 20


def crashed(view: View, lost: Iterable[Push], parent: str) -> IncidentText:
    """A channel's process ended abnormally."""
    if view.topic.startswith(UPLOAD_TOPIC):
        why = f"The channel process of the upload {_label(view)} ended abnormally (`phx_error`)."
        return "upload-crashed", "Upload channel crashed", why, f"{_LOG}."
    if not view.is_live:
        why = f"The channel process of `{_typed(view.topic)}` ended abnormally (`phx_error`)."
        return "channel-crashed", "Channel crashed", why, f"{_LOG}."
    return "view-crashed", "LiveView crashed", f"{_process(view, parent)}{_lost(lost)}", f"{_LOG}."


def crash_loop(view: View, times: int, seconds: float, lost: Iterable[Push], parent: str) -> IncidentText:
    """A LiveView's process ended abnormally, and not for the first time."""
    why = f"{_process(view, parent)} It crashed {times} times within {max(1.0, seconds):.0f} s.{_lost(lost)}"
    return "crash-loop", "LiveView crashes again and again", why, f"{_LOG}; the frames before each crash are kept."


def join_refused(
    view: View, reason: str, response: dict[str, object], connect_info: ConnectInfo, *, navigated: bool
) -> IncidentText:
    """The join of a LiveView, a channel or an upload was answered with an error that is no redirect."""
    if view.topic.startswith(UPLOAD_TOPIC):
        why = f"The app refused the channel of the upload {_label(view)}: {_said(reason)}."
        return "upload-refused", "Upload refused", why, "Compare `allow_upload` of the LiveView with what was chosen."
    if reason in _BY_PHOENIX:
        return _BY_PHOENIX[reason](view)
    if not view.is_live:
        why = f"The channel `{_typed(view.topic)}` refused the join: {_said(reason)}."
        todo = "See what `join/3` of the channel asks for."
        if reason == "join crashed":
            todo = f"{_LOG}: Phoenix says so when `join/3` raises."
        return "channel-refused", "Channel refused the join", why, todo
    return _refused_view(view, reason, response, connect_info, navigated=navigated)


def _refused_view(
    view: View, reason: str, response: dict[str, object], connect_info: ConnectInfo, *, navigated: bool
) -> IncidentText:
    match reason:
        case "stale":
            return _stale(connect_info)
        case "unauthorized":
            return _unauthorized(navigated=navigated)
        case "reload":
            return _reload(response)
        case "join crashed":
            return _join_crashed()
    why = f"The app answered the join of {_label(view)} with an error: {_said(reason)}."
    return "join-refused", "Join refused", why, "Look at the app's log at this moment."


def reload_loop(times: int, words: IncidentText) -> IncidentText:
    """The same page was loaded again and again by one browser, and its join refused each time."""
    _, _, why, todo = words
    why = f"{why} The join was refused as well at the {times} loads of the page by this browser just before."
    return "reload-loop", "The page reloads in a loop", why, todo


def _topic_unknown(view: View) -> IncidentText:
    return (
        "topic-unknown",
        "No channel for this topic",
        f"The app's socket has no channel for the topic `{_typed(view.topic)}`.",
        "Compare the topic with the `channel` lines of the app's socket, and the path of the socket with the endpoint.",
    )


def _too_many(view: View) -> IncidentText:
    return (
        "too-many-channels",
        "Too many channels on one socket",
        f"The app refused the join of {_label(view)}: `too many channels joined`; Phoenix's default limit is 100.",
        "Each LiveView, nested ones too, and each upload is a channel: use live components, leave unused channels.",
    )


_BY_PHOENIX = {"unmatched topic": _topic_unknown, "too many channels joined": _too_many}
"""Reasons that Phoenix itself gives for any channel."""


def _stale(connect_info: ConnectInfo) -> IncidentText:
    if not connect_info.csrf:
        return (
            "csrf-missing",
            "Join refused as stale: no CSRF token",
            "The socket's URL has no `_csrf_token`, without which Phoenix does not read the session cookie.",
            (
                "In the page's JavaScript: `new LiveSocket(path, Socket, {params: {_csrf_token: csrfToken}})`, and "
                'the tag `<meta name="csrf-token">` in the root layout.'
            ),
        )
    if connect_info.cookie is False:
        return (
            "cookie-missing",
            "Join refused as stale: no cookie",
            "The request that opened the socket had no cookie.",
            (
                "Look at the app's session cookie: `Secure` over plain http, `SameSite` in a frame of another site, a "
                "`Domain` or `Path` that is not that of the page, or cookies that are blocked."
            ),
        )
    return (
        "stale",
        "Join refused as stale",
        (
            "The app did not accept the session of the page: its signed tokens are too old or signed with another "
            "secret, its `_csrf_token` is not of the session in the cookie, or the socket has no `connect_info`."
        ),
        (
            "Check that every node has the same `secret_key_base` and `signing_salt`, that no cache serves the page, "
            "that no other app on this host sets a cookie of the same name, and `connect_info: [session: ...]` of "
            "the endpoint's `socket`."
        ),
    )


def _unauthorized(*, navigated: bool) -> IncidentText:
    why = "LiveView refused the join as `unauthorized`."
    todo = "Look at `live_session` in the app's router, and whether it changed since the page was loaded."
    if navigated:
        why = "A live navigation was refused as `unauthorized`, as one into another `live_session` is."
        todo = "Use `href` instead of `navigate` between live sessions, or put both routes into one `live_session`."
    return "unauthorized", "Join refused as unauthorized", why, todo


def _reload(response: dict[str, object]) -> IncidentText:
    status = response.get("status")
    which = f"HTTP status {status}" if isinstance(status, int) else "an HTTP status"
    return (
        "join-reload",
        "Join refused: the page has to be loaded again",
        f"The LiveView raised an exception that stands for {which} when it was mounted on the socket.",
        "Load the page without JavaScript to see the answer; look at the app's log at this moment.",
    )


def _join_crashed() -> IncidentText:
    return (
        "join-crashed",
        "LiveView crashed when it was joined",
        "The app answered the join with `join crashed`: the LiveView's process ended while it was mounted.",
        f"{_LOG}; see what `mount` and `handle_params` do only when `connected?(socket)`.",
    )


def join_late(view: View | None, topic: str, seconds: float) -> IncidentText:
    """A join waited for its answer for longer than phoenix.js does."""
    what = _label(view) if view is not None and view.is_live else f"`{_typed(topic)}`"
    return (
        "join-late",
        "Join not answered in time",
        f"The join of {what} had no answer for {seconds:.0f} s; phoenix.js waits {JOIN_TIMEOUT_S:.0f} s by default.",
        "Make `mount` quick: load what takes long with `assign_async`, or only when it is asked for.",
    )


def event_late(event: Push, seconds: float) -> IncidentText:
    """An event waited for its answer for longer than LiveView's client does."""
    return (
        "event-late",
        "Event not answered in time",
        (
            f"{_event(event)} had no answer for {seconds:.0f} s; LiveView's client waits {EVENT_TIMEOUT_S:.0f} s, "
            "then loads the page again."
        ),
        "Do what takes long outside of `handle_event`: `start_async`, `assign_async`, or a task that sends a message.",
    )


def long_poll_pinned(*, failed: bool) -> IncidentText:
    """A tab whose WebSocket failed, or that had one, is on long-poll."""
    before = (
        "A WebSocket of this page, or of the one that the browser had loaded before, could not be opened"
        if failed
        else "The tab had a WebSocket before"
    )
    return (
        "long-poll-pinned",
        "On long-poll after a WebSocket",
        f"{before}; now it uses long-poll. phoenix.js remembers such a fallback in `sessionStorage`.",
        (
            "See why the WebSocket ended or its upgrade failed, then in the tab: "
            "`sessionStorage.removeItem('phx:fallback:LongPoll')` and reload."
        ),
    )


def long_poll_origin(origin: str) -> IncidentText:
    """The app answers the POSTs of a long-poll session with status 403, and its GETs not."""
    if not origin:
        return (
            "long-poll-origin",
            "Long-poll POSTs refused with 403",
            "The app answers the POSTs of this tab with status 403 in the body. Nothing that it sends is accepted.",
            "Look for what refuses them: they have no Origin, so that it is not Phoenix's `check_origin`.",
        )
    named = f"`{_typed(origin)}`"
    return (
        "long-poll-origin",
        "Long-poll POSTs refused with 403",
        (
            "The app answers the POSTs of this tab with status 403 in the body, as Phoenix's `check_origin` does; "
            f"they came from {named}. Nothing that the tab sends is accepted."
        ),
        (
            f"Add {named} to `check_origin` of the app's endpoint, or set `origin` of the service in the gateway's "
            "settings to `rewrite`."
        ),
    )


def old_server(server: str) -> IncidentText:
    """A client of LiveView 1.0 or later, and a server of 0.x."""
    return _apart(
        f"The page's JavaScript is of LiveView 1.0 or later, the server's version is {server[:_SHORT_ENOUGH]}."
    )


def old_list_format(server: str) -> IncidentText:
    """A client of LiveView 1.2 or later, and a server of 1.0, which has another form of lists."""
    return _apart(
        f"The page's JavaScript is of LiveView 1.2 or later, the server's version is {server[:_SHORT_ENOUGH]}. "
        "From 1.1 on the client does not read the lists of a 1.0 server: it shows `undefined` for them."
    )


def unmarked_move(server: str) -> IncidentText:
    """A client of LiveView 1.2 or later, and a server that moves entries of a list without `km`."""
    whose = f" (LiveView {server[:_SHORT_ENOUGH]})" if server else ""
    return _apart(
        f"The page's JavaScript is of LiveView 1.2 or later, and the server{whose} has moved entries of a list without "
        "the mark `km`. From 1.2.8 on the client cannot render that."
    )


def _apart(why: str) -> IncidentText:
    return (
        "versions-apart",
        "LiveView's client and server are versions apart",
        why,
        (
            "Build the assets anew with the server's version (`mix deps.get`, `npm install`, `mix assets.deploy`), "
            "and look for a cache that serves old ones."
        ),
    )


def _process(view: View, parent: str) -> str:
    nested = f", a nested LiveView of {shortened(parent)}," if parent else ""
    return f"The process of {_label(view)}{nested} ended abnormally (`phx_error`); what only its assigns held is lost."


def _lost(lost: Iterable[Push]) -> str:
    names = [_event(each) for each in lost]
    if not names:
        return " No event was waiting for an answer."
    found = list(dict.fromkeys(reversed(names)))
    more = f" and {len(found) - MAX_NAMED_EVENTS} more" if len(found) > MAX_NAMED_EVENTS else ""
    return f" No answer came to {', '.join(found[:MAX_NAMED_EVENTS])}{more}."


def _event(event: Push) -> str:
    return f'"{_typed(event.name)}"' if event.kind != "patch" else f"the patch to {_typed(event.name)}"


def _label(view: View) -> str:
    return _typed(view.label)


def _said(reason: str) -> str:
    return f"`{_typed(reason)}`" if reason != "without a reason" else "it gave no reason"


def _typed(text: str) -> str:
    """A text from outside, short, and without backticks, which would end what is to be typed."""
    return shortened(text).replace("`", "'")

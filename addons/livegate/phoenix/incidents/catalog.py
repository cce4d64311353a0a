"""Titles, reasons and advice of the incidents found in frames; see docs/reference/causes.md.

Pure functions from facts to texts, one per situation; `detection` calls them. Sources: phoenix.js 1.7 and 1.8,
Phoenix.Socket and Phoenix.Channel.Server 1.8, Phoenix.LiveView.Channel 0.18 to 1.2.
"""

from collections.abc import Iterable

from livegate.phoenix.formatting import shortened
from livegate.phoenix.model import ConnectInfo, Push, View
from livegate.phoenix.topics import UPLOAD_TOPIC

type IncidentText = tuple[str, str, str, str]
"""Slug, title, reason, advice."""

MAX_NAMED_EVENTS = 3
"""Events named in a reason; further ones are counted."""
JOIN_TIMEOUT_S = 10.0
"""Seconds that phoenix.js waits for a reply (DEFAULT_TIMEOUT), also to a join, unless the page sets `timeout`."""
EVENT_TIMEOUT_S = 30.0
"""Seconds that LiveView's client waits for the reply to an event (PUSH_TIMEOUT) before it reloads the page."""
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
"""Slugs of all incidents that are found in frames."""
_SEE_LOG = "Look for the exception in the app's log at this time"
_MAX_VERSION_CHARACTERS = 20


def crashed(view: View, lost: Iterable[Push], parent: str) -> IncidentText:
    """Describe a channel whose process ended abnormally."""
    if view.topic.startswith(UPLOAD_TOPIC):
        why = f"The channel process of the upload {_label(view)} ended abnormally (`phx_error`)."
        return "upload-crashed", "Upload channel crashed", why, f"{_SEE_LOG}."
    if not view.is_live:
        why = f"The channel process of `{_code(view.topic)}` ended abnormally (`phx_error`)."
        return "channel-crashed", "Channel crashed", why, f"{_SEE_LOG}."
    return "view-crashed", "LiveView crashed", f"{_process(view, parent)}{_lost(lost)}", f"{_SEE_LOG}."


def crash_loop(view: View, times: int, seconds: float, lost: Iterable[Push], parent: str) -> IncidentText:
    """Describe a LiveView whose process ended abnormally several times."""
    why = f"{_process(view, parent)} It crashed {times} times within {max(1.0, seconds):.0f} s.{_lost(lost)}"
    return "crash-loop", "LiveView crashes repeatedly", why, f"{_SEE_LOG}; the frames before each crash are kept."


def join_refused(
    view: View, reason: str, response: dict[str, object], connect_info: ConnectInfo, *, navigated: bool
) -> IncidentText:
    """Describe a join of a LiveView, a channel or an upload whose reply is an error, redirects excepted."""
    if view.topic.startswith(UPLOAD_TOPIC):
        why = f"The app refused the channel of the upload {_label(view)}: {_quoted_reason(reason)}."
        return "upload-refused", "Upload refused", why, "Compare `allow_upload` of the LiveView with the chosen file."
    if reason in _BY_PHOENIX:
        return _BY_PHOENIX[reason](view)
    if not view.is_live:
        why = f"The channel `{_code(view.topic)}` refused the join: {_quoted_reason(reason)}."
        todo = "Check the conditions in `join/3` of the channel."
        if reason == "join crashed":
            todo = f"{_SEE_LOG}. Phoenix gives this reason when `join/3` raises."
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
    why = f"The app refused the join of {_label(view)}: {_quoted_reason(reason)}."
    return "join-refused", "Join refused", why, "Look at the app's log at this time."


def reload_loop(times: int, text: IncidentText) -> IncidentText:
    """Describe a page that one browser loads repeatedly because its join is refused; `text` is the last refusal."""
    _, _, why, todo = text
    why = f"{why} The join was also refused after the {times} previous loads of the page by this browser."
    return "reload-loop", "Page reloads in a loop", why, todo


def _topic_unknown(view: View) -> IncidentText:
    return (
        "topic-unknown",
        "No channel for this topic",
        f"The app's socket has no channel for the topic `{_code(view.topic)}`.",
        "Compare the topic with the `channel` lines of the app's socket, and the socket's path with the endpoint.",
    )


def _too_many(view: View) -> IncidentText:
    return (
        "too-many-channels",
        "Too many channels on one socket",
        f"The app refused the join of {_label(view)}: `too many channels joined`; Phoenix's default limit is 100.",
        "Use live components and leave unused channels: each LiveView, nested ones too, and each upload is a channel.",
    )


_BY_PHOENIX = {"unmatched topic": _topic_unknown, "too many channels joined": _too_many}
"""Reasons that Phoenix itself gives for any channel."""


def _stale(connect_info: ConnectInfo) -> IncidentText:
    if not connect_info.csrf:
        return (
            "csrf-missing",
            "Join refused as stale: no CSRF token",
            "The socket's URL has no `_csrf_token`. Without it Phoenix does not read the session cookie.",
            (
                "Use `new LiveSocket(path, Socket, {params: {_csrf_token: csrfToken}})` in the page's JavaScript, and "
                'the tag `<meta name="csrf-token">` in the root layout.'
            ),
        )
    if connect_info.cookie is False:
        return (
            "cookie-missing",
            "Join refused as stale: no cookie",
            "The request that opened the socket had no cookie.",
            (
                "Check the app's session cookie: `Secure` over plain http, `SameSite` in a frame of another site, a "
                "`Domain` or `Path` other than the page's, or blocked cookies."
            ),
        )
    return (
        "stale",
        "Join refused as stale",
        (
            "The app did not accept the session of the page. Either its signed tokens are too old or signed with "
            "another secret, or its `_csrf_token` does not belong to the session in the cookie, or the socket has no "
            "`connect_info`."
        ),
        (
            "Check that every node has the same `secret_key_base` and `signing_salt`, that no cache serves the page, "
            "that no other app on this host sets a cookie of the same name, and that the endpoint's `socket` has "
            "`connect_info: [session: ...]`."
        ),
    )


def _unauthorized(*, navigated: bool) -> IncidentText:
    why = "LiveView refused the join as `unauthorized`."
    todo = "Check `live_session` in the app's router, and whether it changed after the page was loaded."
    if navigated:
        why = "LiveView refused a live navigation as `unauthorized`, as it does for one into another `live_session`."
        todo = "Use `href` instead of `navigate` between live sessions, or put both routes into one `live_session`."
    return "unauthorized", "Join refused as unauthorized", why, todo


def _reload(response: dict[str, object]) -> IncidentText:
    status = response.get("status")
    which = f"HTTP status {status}" if isinstance(status, int) else "an HTTP status"
    return (
        "join-reload",
        "Join refused: page must be reloaded",
        f"The LiveView raised an exception that stands for {which} when it was mounted on the socket.",
        "Load the page without JavaScript to see the response, and look at the app's log at this time.",
    )


def _join_crashed() -> IncidentText:
    return (
        "join-crashed",
        "LiveView crashed during the join",
        "The app replied to the join with `join crashed`: the LiveView's process ended while it was mounted.",
        f"{_SEE_LOG}, and check what `mount` and `handle_params` do only if `connected?(socket)`.",
    )


def join_late(view: View | None, topic: str, seconds: float) -> IncidentText:
    """Describe a join whose reply takes longer than phoenix.js waits."""
    what = _label(view) if view is not None and view.is_live else f"`{_code(topic)}`"
    return (
        "join-late",
        "Join got no reply in time",
        f"The join of {what} got no reply for {seconds:.0f} s; phoenix.js waits {JOIN_TIMEOUT_S:.0f} s by default.",
        "Make `mount` faster: load slow data with `assign_async`, or only when it is needed.",
    )


def event_late(event: Push, seconds: float) -> IncidentText:
    """Describe an event whose reply takes longer than LiveView's client waits."""
    return (
        "event-late",
        "Event got no reply in time",
        (
            f"{_event(event)} got no reply for {seconds:.0f} s; LiveView's client waits {EVENT_TIMEOUT_S:.0f} s, "
            "then reloads the page."
        ),
        "Move slow work out of `handle_event`: to `start_async`, `assign_async`, or a task that sends a message.",
    )


def long_poll_pinned(*, failed: bool) -> IncidentText:
    """Describe a tab on long-poll whose WebSocket failed, or that had one before."""
    before = (
        "A WebSocket of this page, or of the one that the browser had loaded before, could not be opened"
        if failed
        else "The tab had a WebSocket before"
    )
    return (
        "long-poll-pinned",
        "Long-poll instead of a WebSocket",
        f"{before}; now the tab uses long-poll. phoenix.js remembers such a fallback in `sessionStorage`.",
        (
            "Find out why the WebSocket closed or its upgrade failed. Then run "
            "`sessionStorage.removeItem('phx:fallback:LongPoll')` in the tab, and reload it."
        ),
    )


def long_poll_origin(origin: str) -> IncidentText:
    """Describe an app that refuses the POSTs of a long-poll session, but not its GETs."""
    if not origin:
        return (
            "long-poll-origin",
            "Long-poll POSTs refused with 403",
            "The app responds to this tab's POSTs with status 403 in the body. It accepts nothing that the tab sends.",
            "Find out what refuses them. It is not Phoenix's `check_origin`, because they have no Origin.",
        )
    named = f"`{_code(origin)}`"
    return (
        "long-poll-origin",
        "Long-poll POSTs refused with 403",
        (
            "The app responds to this tab's POSTs with status 403 in the body, as Phoenix's `check_origin` does. "
            f"Their Origin is {named}. The app accepts nothing that the tab sends."
        ),
        (
            f"Add {named} to `check_origin` of the app's endpoint, or set `origin` of the service to `rewrite` in the "
            "gateway's settings."
        ),
    )


def old_server(server: str) -> IncidentText:
    """Describe a client of LiveView 1.0 or later on a server of 0.x."""
    return _mismatch(
        f"The page's JavaScript is LiveView 1.0 or later, the server's version is {server[:_MAX_VERSION_CHARACTERS]}."
    )


def old_list_format(server: str) -> IncidentText:
    """Describe a client of LiveView 1.2 or later on a server of 1.0, which has another form of comprehensions."""
    return _mismatch(
        f"The page's JavaScript is LiveView 1.2 or later, the server's version is {server[:_MAX_VERSION_CHARACTERS]}. "
        "From 1.1 on the client does not read the lists of a 1.0 server, and shows `undefined` instead."
    )


def unmarked_move(server: str) -> IncidentText:
    """Describe a client of LiveView 1.2 or later on a server that moves entries of a comprehension without `km`."""
    version = f" (LiveView {server[:_MAX_VERSION_CHARACTERS]})" if server else ""
    return _mismatch(
        f"The page's JavaScript is LiveView 1.2 or later, and the server{version} has moved entries of a list without "
        "the mark `km`. From 1.2.8 on the client cannot render that."
    )


def _mismatch(why: str) -> IncidentText:
    return (
        "versions-apart",
        "LiveView client and server versions do not match",
        why,
        (
            "Rebuild the assets with the server's version (`mix deps.get`, `npm install`, `mix assets.deploy`), and "
            "look for a cache that serves old ones."
        ),
    )


def _process(view: View, parent: str) -> str:
    nested = f", a nested LiveView of {shortened(parent)}," if parent else ""
    return f"The process of {_label(view)}{nested} ended abnormally (`phx_error`). State kept only in assigns is lost."


def _lost(lost: Iterable[Push]) -> str:
    names = list(dict.fromkeys(_event(each) for each in reversed([*lost])))
    if not names:
        return " No event was pending."
    more = f" and {len(names) - MAX_NAMED_EVENTS} more" if len(names) > MAX_NAMED_EVENTS else ""
    return f" There was no reply to {', '.join(names[:MAX_NAMED_EVENTS])}{more}."


def _event(event: Push) -> str:
    return f'"{_code(event.name)}"' if event.kind != "patch" else f"the patch to {_code(event.name)}"


def _label(view: View) -> str:
    return _code(view.label)


def _quoted_reason(reason: str) -> str:
    return f"`{_code(reason)}`" if reason != "without a reason" else "no reason was given"


def _code(text: str) -> str:
    """Return a foreign text, shortened, without backticks, because they delimit code in these texts."""
    return shortened(text).replace("`", "'")

"""Causes of closed WebSockets, by close code, by the side that closed, and by the gateway's own reasons."""

from livegate.observe.causes.case import Case, CauseText, Rule, idle_seconds, names_of, rule
from livegate.phoenix.longpoll import CLOSED_GONE
from livegate.phoenix.model import SocketInfo
from livegate.redaction.printable import printable
from livegate.websocket import close_codes

RULES: list[Rule] = []
IDLE_S = 50.0
"""Seconds without a frame that count as an idle timeout of the app; Phoenix's is 60 s after the last heartbeat."""
HEARTBEAT_S = 35.0
"""Seconds without a frame after which the client, which sends a heartbeat every 30 s, has stopped, as in sleep mode."""
_OWN_1012 = ("the gateway is being stopped", "the service was removed", "open for as long as allowed")
_OWN_CODES = (
    close_codes.PROTOCOL_ERROR,
    close_codes.ABNORMAL,
    close_codes.INVALID_DATA,
    close_codes.POLICY,
    close_codes.TOO_BIG,
    close_codes.INTERNAL_ERROR,
)
"""Close codes that the gateway itself sends, besides 1012."""


def _unanswered_text(case: Case) -> str:
    """Return a sentence that names the pushes whose reply the close prevented; empty for none."""
    names = names_of(case.unanswered)
    return f" There was no reply to {names}." if names else ""


def _heartbeats_stopped(case: Case) -> bool:
    """Return whether the client of a Phoenix socket had gone silent, as a sleeping laptop does, which is no fault."""
    return case.idle_s is not None and case.idle_s >= HEARTBEAT_S


def _quoted(reason: str) -> str:
    return printable(reason, 40).replace("`", "'").replace('"', "'")


# Closed by the gateway


@rule(RULES)
def service_removed(case: Case) -> CauseText | None:
    """Match a reload of the settings without this service."""
    if (case.by, case.reason) != ("gateway", "the service was removed"):
        return None
    return (
        "Service removed from the settings",
        "The reloaded settings no longer have this service, so its sockets were closed.",
        f"Restore {case.key('backend')} if this was not intended.",
    )


@rule(RULES)
def max_age(case: Case) -> CauseText | None:
    """Match a socket that reached its maximum age."""
    if (case.by, case.reason) != ("gateway", "open for as long as allowed"):
        return None
    setting = case.key("websocket.max_age")
    return (
        "Maximum socket age reached",
        f"It was open for {setting} and was closed with 1012; the browser reconnects on its own.",
        f"Nothing, if this is intended; otherwise raise {setting} or set it to `null`.",
    )


@rule(RULES)
def operator_closed(case: Case) -> CauseText | None:
    """Match a socket that was closed through the admin listener."""
    if case.by != "gateway" or case.code is None or case.code in _OWN_CODES or case.reason in _OWN_1012:
        return None
    return (
        "Closed by an operator",
        "It was closed through the admin listener.",
        "Nothing, if this was intended; the client reconnects on its own unless the code was 1000.",
    )


@rule(RULES)
def idle(case: Case) -> CauseText | None:
    """Match the gateway's idle timeout."""
    if (case.by, case.reason) != ("gateway", "idle") or _heartbeats_stopped(case):
        return None
    setting = case.key("websocket.idle")
    beats = "; phoenix.js sends a heartbeat only every 30 s" if case.socket is not None else ""
    return (
        "Idle timeout of the gateway",
        f"Neither side sent anything for {setting}{beats}.",
        f"Raise {setting}, or set {case.key('websocket.ping_every')}.",
    )


@rule(RULES)
def no_pong(case: Case) -> CauseText | None:
    """Match a missing pong to the gateway's own ping."""
    if (case.by, case.reason) != ("gateway", "no pong"):
        return None
    if case.socket is not None and not case.heartbeat_pending and not case.unanswered:
        return None  # nothing was pending: the client sleeps, or its network is gone
    return (
        "No pong received",
        f"One side sent no pong within 20 s of the gateway's ping ({case.key('websocket.ping_every')}).",
        "Nothing, if that machine was asleep or offline; otherwise check the network on that side.",
    )


@rule(RULES)
def frame_rate(case: Case) -> CauseText | None:
    """Match a client that exceeded the frame rate limit."""
    which = {"too many frames": "messages", "too many bytes": "bytes"}.get(case.reason)
    if (case.by, case.code) != ("gateway", close_codes.POLICY) or which is None:
        return None
    setting = case.key(f"websocket.frame_rate.{which}")
    return (
        "Frame rate limit exceeded",
        f"The client sent {case.reason} in one second: more than {setting} allows.",
        f"Raise {setting}, or make the page send less (`phx-debounce`, `phx-throttle`).",
    )


@rule(RULES)
def message_too_big(case: Case) -> CauseText | None:
    """Match 1009 by the gateway."""
    if (case.by, case.code) != ("gateway", close_codes.TOO_BIG):
        return None
    setting = case.key("websocket.max_message")
    return (
        "Message too big for the gateway",
        f"A message was larger than {setting}, or in too many fragments.",
        f"Raise {setting}, or send less: uploads in chunks, long lists as streams.",
    )


@rule(RULES)
def protocol(case: Case) -> CauseText | None:
    """Match 1002 and 1007 by the gateway."""
    if case.by != "gateway" or case.code not in (close_codes.PROTOCOL_ERROR, close_codes.INVALID_DATA):
        return None
    return (
        "WebSocket protocol violation",
        f"One side violated RFC 6455: {case.reason or 'invalid frame'}. The log names the side.",
        "Look for another proxy in between, or for a faulty client or server.",
    )


# Closed by the backend or the client


@rule(RULES)
def heartbeat_lost(case: Case) -> CauseText | None:
    """Match phoenix.js's close with 1000 after a heartbeat without a reply."""
    if case.by != "client" or case.code is None or "heartbeat" not in case.reason:
        return None
    if case.socket is not None and not case.heartbeat_pending:
        return None  # the app had replied: the client slept, and its timer fired before it read the reply
    return (
        "No reply to a heartbeat",
        f'The client closed the socket with the reason "{_quoted(case.reason)}".{_unanswered_text(case)}',
        "Check whether the app is overloaded or paused by a debugger, or the network loses packets.",
    )


@rule(RULES)
def app_idle(case: Case) -> CauseText | None:
    """Match two idle timeouts in a row of a client without heartbeats.

    Cowboy closes an idle socket with 1000, Bandit with 1002, both without a reason. One such close is no evidence,
    because a sleeping client is closed in the same way.
    """
    codes = (close_codes.NORMAL, close_codes.PROTOCOL_ERROR)
    if case.by != "backend" or case.reason or case.code not in codes or not _without_heartbeats(case.socket):
        return None
    previous = case.previous_socket
    if previous is None or not _without_heartbeats(previous) or previous.close_code != case.code:
        return None
    return (
        "Client sends no heartbeats",
        (
            f"The app closed with {case.code} after {case.idle_s or 0.0:.0f} s without a frame, as it did with the "
            "previous socket; neither carried a heartbeat."
        ),
        (
            "Let the client send `heartbeat` on the topic `phoenix` every 30 s (`heartbeatIntervalMs`), or raise the "
            "`timeout` of `socket` in the app's endpoint above that interval."
        ),
    )


def _without_heartbeats(socket: SocketInfo | None) -> bool:
    quiet = idle_seconds(socket)
    return socket is not None and quiet is not None and quiet >= IDLE_S and socket.heartbeats == 0


@rule(RULES)
def app_closed(case: Case) -> CauseText | None:
    """Match a close by the app while pushes were pending; without any, a `disconnect` at a logout looks the same."""
    ended = case.by == "backend" and not case.reason and case.code in (close_codes.NORMAL, close_codes.NO_STATUS)
    if not ended or not case.unanswered or (case.idle_s is not None and case.idle_s >= IDLE_S):
        return None
    is_view = any(each.topic.startswith("lv:") for each in case.unanswered)
    reload = "; LiveView's client reloads the page" if case.code == close_codes.NORMAL and is_view else ""
    return (
        "The app closed the socket",
        f"It closed with {case.code} and gave no reason{reload}.{_unanswered_text(case)}",
        (
            "Check the app's log at this moment for a broadcast `disconnect`, and look for a proxy between the gateway "
            "and the app."
        ),
    )


@rule(RULES)
def app_policy(case: Case) -> CauseText | None:
    """Match 1008 by the app."""
    if (case.by, case.code) != ("backend", close_codes.POLICY):
        return None
    return (
        "The app closed the socket for a policy violation",
        f"It closed with 1008.{_unanswered_text(case)}",
        "Check what the app requires of its clients, such as a token, and what they may send.",
    )


@rule(RULES)
def backend_lost(case: Case) -> CauseText | None:
    """Match a backend connection that was lost without a close frame."""
    if (case.by, case.code) != ("backend", close_codes.ABNORMAL):
        return None
    return (
        "Connection to the backend lost",
        (
            "It ended without a close frame, as when the app is killed or restarted, or the socket's process dies."
            f"{_unanswered_text(case)}"
        ),
        "Check the app's log at this moment.",
    )


@rule(RULES)
def backend_draining(case: Case) -> CauseText | None:
    """Match Phoenix's socket drainer, and a `disconnect` broadcast while pushes were pending."""
    if case.by != "backend" or case.code not in (close_codes.GOING_AWAY, close_codes.SERVICE_RESTART):
        return None
    if case.code == close_codes.GOING_AWAY and not case.unanswered:
        return None  # a logout looks the same, because it broadcasts `disconnect`
    expected = (
        "it was deployed" if case.code == close_codes.SERVICE_RESTART else "it was deployed or the user logged out"
    )
    why = (
        "It closed with 1012, service restart, as Phoenix's socket drainer does when the app stops."
        if case.code == close_codes.SERVICE_RESTART
        else "It closed with 1001, going away, as after a `disconnect` broadcast (Phoenix 1.8.8 on) or when it stops."
    )
    return (
        "The app shut the socket down",
        f"{why}{_unanswered_text(case)}",
        f"Nothing, if {expected}; otherwise check the app's log at this moment.",
    )


@rule(RULES)
def backend_failed(case: Case) -> CauseText | None:
    """Match 1011 by the app, whose socket process failed."""
    if (case.by, case.code) != ("backend", close_codes.INTERNAL_ERROR):
        return None
    if "ping timeout" in case.reason.lower():  # how websockets and uvicorn close the socket of a sleeping tab
        return None
    return (
        "The app's socket process failed",
        f"It closed with 1011, internal error.{_unanswered_text(case)}",
        "Check the app's log at this moment, and the last frames that it received.",
    )


@rule(RULES)
def too_big_there(case: Case) -> CauseText | None:
    """Match 1009 by the client or the app."""
    if case.by not in ("client", "backend") or case.code != close_codes.TOO_BIG:
        return None
    if case.by == "client":
        return (
            "Message too big for the client",
            "The client closed with 1009 after a message from the app.",
            "Raise the client's limit, or send less: long lists as streams.",
        )
    return (
        "Message too big for the app",
        f"The app closed with 1009 after a message from the client.{_unanswered_text(case)}",
        (
            "Raise `max_frame_size` in the `websocket:` options of the app's `socket` (with Bandit also "
            "`max_fragmented_message_size`), or send less: uploads in chunks."
        ),
    )


@rule(RULES)
def frame_refused(case: Case) -> CauseText | None:
    """Match 1002, 1003 and 1007 by the client or the app, except Bandit's idle timeout (1002 without a reason)."""
    codes = (close_codes.PROTOCOL_ERROR, close_codes.UNSUPPORTED, close_codes.INVALID_DATA)
    if case.by not in ("client", "backend") or case.code not in codes:
        return None
    no_reason = case.by == "backend" and case.code == close_codes.PROTOCOL_ERROR and not case.reason
    if no_reason and (case.idle_s is None or case.idle_s >= IDLE_S):
        return None  # Bandit's idle timeout
    whose = "app" if case.by == "backend" else "client"
    return (
        f"The {whose} rejected a frame",
        (
            f"It closed with {case.code}. All frames were well-formed when they passed the gateway: suspect "
            f"compression, an addon, or an unexpected type of message.{_unanswered_text(case)}"
        ),
        f"Check the last frames; try {case.key('websocket.compression')} `strip`, and no addons.",
    )


@rule(RULES)
def long_poll_gone(case: Case) -> CauseText | None:
    """Match a 410 to a poll: the app no longer knows the session."""
    if case.code != CLOSED_GONE:
        return None
    return (
        "Long-poll session lost",
        (
            "The app responded to a poll with status 410 less than 15 s after the previous one: it no longer knew the "
            "session, as after a restart, or on another node that is not connected."
        ),
        "With several nodes, connect them or route each browser to the same one; otherwise check the app's log.",
    )

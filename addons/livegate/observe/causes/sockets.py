"""Causes of WebSockets that ended: by close code, by who closed, and by the gateway's own reasons."""

from livegate.observe.causes.case import Case, Rule, Words, idle_seconds, names_of, rule
from livegate.phoenix.model import SocketInfo
from livegate.redaction.printable import printable
from livegate.websocket import close_codes

RULES: list[Rule] = []
IDLE_S = 50.0
"""So long without a frame, and it was an idle time-out of the app; Phoenix's is 60 s after the last heartbeat."""
HEARTBEAT_S = 35.0
"""So long without a frame, and the client has stopped its heartbeats, one in 30 s, as one that sleeps does."""
POLL_GONE = 3410
"""What phoenix.js takes the end of a long-poll session for."""
_OWN_1012 = ("the gateway is being stopped", "the service was removed", "open for as long as allowed")
_OWN_CODES = (
    close_codes.PROTOCOL_ERROR,
    close_codes.ABNORMAL,
    close_codes.INVALID_DATA,
    close_codes.POLICY,
    close_codes.TOO_BIG,
    close_codes.INTERNAL_ERROR,
)
"""Codes that the gateway closes with on its own account, besides 1012."""


def _unanswered_text(case: Case) -> str:
    """Which pushes never had an answer because the socket ended."""
    names = names_of(case.unanswered)
    return f" No answer came to {names}." if names else ""


def _heartbeats_stopped(case: Case) -> bool:
    """Whether the client of a Phoenix socket had gone silent, as a laptop that sleeps does: nothing that is wrong."""
    return case.idle_s is not None and case.idle_s >= HEARTBEAT_S


def _quoted(reason: str) -> str:
    return printable(reason, 40).replace("`", "'").replace('"', "'")


# Ended by the gateway


@rule(RULES)
def service_removed(case: Case) -> Words | None:
    """A reload without this service."""
    if (case.by, case.reason) != ("gateway", "the service was removed"):
        return None
    return (
        "Service removed from the settings",
        "A reload of the settings no longer has this service, so its sockets were closed.",
        f"Put {case.key('backend')} back if that was not meant.",
    )


@rule(RULES)
def max_age(case: Case) -> Words | None:
    """A socket that was to be renewed."""
    if (case.by, case.reason) != ("gateway", "open for as long as allowed"):
        return None
    setting = case.key("websocket.max_age")
    return (
        "Socket was as old as allowed",
        f"It was open for {setting} and was closed with 1012; the browser comes back by itself.",
        f"Nothing, when that is meant; else raise {setting} or set it to `null`.",
    )


@rule(RULES)
def operator_closed(case: Case) -> Words | None:
    """By the admin listener's API or page."""
    if case.by != "gateway" or case.code is None or case.code in _OWN_CODES or case.reason in _OWN_1012:
        return None
    return (
        "Closed by an operator",
        "Somebody closed this socket on the admin listener.",
        "Nothing, when it was meant; the client comes back by itself unless the code was 1000.",
    )


@rule(RULES)
def idle(case: Case) -> Words | None:
    """No byte in either direction."""
    if (case.by, case.reason) != ("gateway", "idle") or _heartbeats_stopped(case):
        return None
    setting = case.key("websocket.idle")
    beats = "; phoenix.js sends a heartbeat only every 30 s" if case.socket is not None else ""
    return (
        "Idle for too long",
        f"Nothing came from either end for as long as {setting} allows{beats}.",
        f"Raise {setting}, or set {case.key('websocket.ping_every')}.",
    )


@rule(RULES)
def no_pong(case: Case) -> Words | None:
    """A ping of the gateway's own."""
    if (case.by, case.reason) != ("gateway", "no pong"):
        return None
    if case.socket is not None and not case.heartbeat_pending and not case.unanswered:
        return None  # the client has asked for nothing: it sleeps, or has left without a word
    return (
        "No pong",
        f"One end did not answer the gateway's ping ({case.key('websocket.ping_every')}) within 20 s.",
        "Nothing, when that machine was asleep or off the network; else look at the network on that side.",
    )


@rule(RULES)
def frame_rate(case: Case) -> Words | None:
    """A client that sends too much."""
    which = {"too many frames": "messages", "too many bytes": "bytes"}.get(case.reason)
    if (case.by, case.code) != ("gateway", close_codes.POLICY) or which is None:
        return None
    setting = case.key(f"websocket.frame_rate.{which}")
    return (
        "Too much on one socket in a second",
        f"The client sent {case.reason}: more than {setting} allows.",
        f"Raise {setting}, or make the page send less (`phx-debounce`, `phx-throttle`).",
    )


@rule(RULES)
def message_too_big(case: Case) -> Words | None:
    """1009 by the gateway."""
    if (case.by, case.code) != ("gateway", close_codes.TOO_BIG):
        return None
    setting = case.key("websocket.max_message")
    return (
        "Message too big for the gateway",
        f"A message was longer than {setting}, or in too many fragments.",
        f"Raise {setting}, or send less: uploads in chunks, long lists as streams.",
    )


@rule(RULES)
def protocol(case: Case) -> Words | None:
    """1002 and 1007 by the gateway."""
    if case.by != "gateway" or case.code not in (close_codes.PROTOCOL_ERROR, close_codes.INVALID_DATA):
        return None
    return (
        "Broken WebSocket frames",
        f"One end broke RFC 6455: {case.reason or 'a frame that may not be'}. The log says which.",
        "Look for another proxy in between, or a client or server of your own.",
    )


# Ended by the backend or the client


@rule(RULES)
def heartbeat_lost(case: Case) -> Words | None:
    """phoenix.js closes with 1000 when its heartbeat is not answered."""
    if case.by != "client" or case.code is None or "heartbeat" not in case.reason:
        return None
    if case.socket is not None and not case.heartbeat_pending:
        return None  # the app had answered it: the client slept, and found its timer before the answer
    return (
        "Heartbeat not answered",
        f'The client closed the socket and said "{_quoted(case.reason)}".{_unanswered_text(case)}',
        "Look for an app that is overloaded or held by a debugger, or a network that loses packets.",
    )


@rule(RULES)
def app_idle(case: Case) -> Words | None:
    """Cowboy closes an idle socket with 1000, Bandit with 1002, without a word.

    A client that sleeps is cut off in the same way, once; one that never beats is so again and again.
    """
    codes = (close_codes.NORMAL, close_codes.PROTOCOL_ERROR)
    if case.by != "backend" or case.reason or case.code not in codes or not _without_heartbeats(case.socket):
        return None
    previous = case.previous_socket
    if previous is None or not _without_heartbeats(previous) or previous.close_code != case.code:
        return None
    return (
        "The client sends no heartbeats",
        (
            f"The app closed with {case.code} after {case.idle_s or 0.0:.0f} s without a frame, and so it did with the "
            "socket before; no heartbeat was sent on either."
        ),
        (
            "Let the client send `heartbeat` on the topic `phoenix` every 30 s (`heartbeatIntervalMs`), or raise "
            "`timeout` of `socket` in the app's endpoint above its interval."
        ),
    )


def _without_heartbeats(socket: SocketInfo | None) -> bool:
    quiet = idle_seconds(socket)
    return socket is not None and quiet is not None and quiet >= IDLE_S and socket.heartbeats == 0


@rule(RULES)
def app_closed(case: Case) -> Words | None:
    """The app ended a socket while something was pending; without that it is how a `disconnect` at a logout looks."""
    ended = case.by == "backend" and not case.reason and case.code in (close_codes.NORMAL, close_codes.NO_STATUS)
    if not ended or not case.unanswered or (case.idle_s is not None and case.idle_s >= IDLE_S):
        return None
    is_view = any(each.topic.startswith("lv:") for each in case.unanswered)
    reload = "; LiveView's client loads the page again" if case.code == close_codes.NORMAL and is_view else ""
    return (
        "The app closed the socket",
        f"It closed with {case.code} and gave no reason{reload}.{_unanswered_text(case)}",
        (
            "Look at the app's log at this moment, for a `disconnect` that was broadcast, and for a proxy between the "
            "gateway and the app."
        ),
    )


@rule(RULES)
def app_policy(case: Case) -> Words | None:
    """1008 by the app."""
    if (case.by, case.code) != ("backend", close_codes.POLICY):
        return None
    return (
        "The app closed the socket as not allowed",
        f"It closed with 1008, policy violation.{_unanswered_text(case)}",
        "See what the app asks of those who connect, such as a token, and what they may send.",
    )


@rule(RULES)
def backend_lost(case: Case) -> Words | None:
    """The backend's connection ended without a close frame."""
    if (case.by, case.code) != ("backend", close_codes.ABNORMAL):
        return None
    return (
        "Connection to the backend lost",
        (
            "The backend's connection ended without a close frame, as when the app is killed or restarted, or the "
            f"socket's process dies.{_unanswered_text(case)}"
        ),
        "Look at the app's log at this moment.",
    )


@rule(RULES)
def backend_draining(case: Case) -> Words | None:
    """Phoenix's socket drainer, or a disconnect broadcast."""
    if case.by != "backend" or case.code not in (close_codes.GOING_AWAY, close_codes.SERVICE_RESTART):
        return None
    if case.code == close_codes.GOING_AWAY and not case.unanswered:
        return None  # as a logout looks: `disconnect` is broadcast
    meant = "it was deployed" if case.code == close_codes.SERVICE_RESTART else "it was deployed or the user logged out"
    why = (
        "It closed with 1012, service restart, as Phoenix's socket drainer does when the app is being stopped."
        if case.code == close_codes.SERVICE_RESTART
        else "It closed with 1001, going away, as at a `disconnect` broadcast (Phoenix 1.8.8 on) or when it is stopped."
    )
    return (
        "The app told its socket to go",
        f"{why}{_unanswered_text(case)}",
        f"Nothing, when {meant}; else look at the app's log at this moment.",
    )


@rule(RULES)
def backend_failed(case: Case) -> Words | None:
    """The socket's process in the app raised."""
    if (case.by, case.code) != ("backend", close_codes.INTERNAL_ERROR):
        return None
    if "ping timeout" in case.reason.lower():  # so ends a socket of a tab that sleeps (websockets, uvicorn)
        return None
    return (
        "The app's socket process failed",
        f"It closed with 1011, internal error.{_unanswered_text(case)}",
        "Look at the app's log at this moment; the last frames before the end show what it was sent.",
    )


@rule(RULES)
def too_big_there(case: Case) -> Words | None:
    """1009 by one of the ends."""
    if case.by not in ("client", "backend") or case.code != close_codes.TOO_BIG:
        return None
    if case.by == "client":
        return (
            "Message too big for the client",
            "The client said 1009 to a message of the app.",
            "Raise the client's bound, or send less: long lists as streams.",
        )
    return (
        "Message too big for the app",
        f"The app said 1009 to a message of the client.{_unanswered_text(case)}",
        (
            "Raise `max_frame_size` of `websocket:` at the app's `socket` (with Bandit `max_fragmented_message_size` "
            "too), or send less: uploads in chunks."
        ),
    )


@rule(RULES)
def frame_refused(case: Case) -> Words | None:
    """1002, 1003 and 1007 by one of the ends; 1002 without a word may be an idle time-out of Bandit."""
    codes = (close_codes.PROTOCOL_ERROR, close_codes.UNSUPPORTED, close_codes.INVALID_DATA)
    if case.by not in ("client", "backend") or case.code not in codes:
        return None
    wordless = case.by == "backend" and case.code == close_codes.PROTOCOL_ERROR and not case.reason
    if wordless and (case.idle_s is None or case.idle_s >= IDLE_S):
        return None  # Bandit's idle time-out
    whose = "app" if case.by == "backend" else "client"
    return (
        f"The {whose} could not read a frame",
        (
            f"It closed with {case.code}. The gateway had let all frames through as well-formed: look at compression, "
            f"an addon that changes messages, or a kind of message that is not expected there.{_unanswered_text(case)}"
        ),
        f"Look at the last frames before the end; try {case.key('websocket.compression')} `strip`, and without addons.",
    )


@rule(RULES)
def long_poll_gone(case: Case) -> Words | None:
    """The app no longer knows a long-poll session."""
    if case.code != POLL_GONE:
        return None
    return (
        "Long-poll session gone",
        (
            "The app answered a poll with status 410 less than 15 s after the one before: it no longer knew the "
            "session, as after a restart, or on another node that is not connected."
        ),
        "With several nodes: connect them, or send each browser to the same one; else look at the app's log.",
    )

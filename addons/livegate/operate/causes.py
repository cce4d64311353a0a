"""Why a request was refused, a socket closed or a session is ill, in words, and what to do: one small rule each.

Sources of what a code or reason means: RFC 6455 section 7.4, phoenix.js 1.7 and 1.8, LiveView 0.18 to 1.2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mitmproxy.net.http import status_codes

from livegate.phoenix.model import Session
from livegate.websocket import closing

CRASH_LOOP = 3
STALE_LOOP = 2
_WHOSE = {"user": "user", "ip": "address"}


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause for a person."""

    slug: str
    title: str
    why: str
    todo: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of something that went wrong, or of a session that may be well."""

    service: str = ""
    """As the settings name it; empty for none."""
    refused: str = ""
    """The slug of the gateway's own refusal or failure."""
    status: int | None = None
    """Of the HTTP answer."""
    upgrade: bool = False
    """Whether it was a WebSocket upgrade."""
    code: int | None = None
    """The close code of a socket that has ended; None when this is about something else."""
    by: str = ""
    """Who ended it: client, backend, gateway."""
    reason: str = ""
    session: Session | None = None


type Rule = Callable[[Case], Cause | None]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """One of the rules."""
    RULES.append(function)
    return function


def causes_of(case: Case) -> list[Cause]:
    """All causes that are found; none for what is well."""
    return list(_found(case))


def _found(case: Case) -> Iterator[Cause]:
    for each in RULES:
        cause = each(case)
        if cause is not None:
            yield cause


def _key(case: Case, setting: str) -> str:
    return f"services.{case.service}.{setting}" if case.service else setting


# Refused by the gateway


@rule
def origin_refused_here(case: Case) -> Cause | None:
    """The gateway's own list of origins."""
    if case.refused != "origin-refused":
        return None
    return Cause(
        "origin-refused",
        "Origin refused by this gateway",
        "The page's Origin is not in the list of origins that may open WebSockets here, or there was none.",
        f"Add the page's origin to {_key(case, 'websocket.allowed_origins')}, or set that to null.",
    )


@rule
def rate_limited(case: Case) -> Cause | None:
    """HTTP's rate limits, and a socket's frame rate."""
    if case.refused.startswith("rate-limit-"):
        policy = "user" if case.refused.endswith("user") else "ip"
        return Cause(
            "rate-limit",
            "Rate limit",
            f"More requests than the budget of this {_WHOSE[policy]} allows; upgrades count.",
            f"Raise {_key(case, f'rate_limit.{policy}')}, or see with `rate_limit.dry_run` what would be refused.",
        )
    if (case.code, case.by) == (closing.POLICY, "gateway"):
        return Cause(
            "frame-rate",
            "Too many frames in a second",
            "The client sent more on one socket than its frame rate allows.",
            f"Raise {_key(case, 'websocket.frame_rate')}, or debounce the event (`phx-debounce`, `phx-throttle`).",
        )
    return None


@rule
def too_many_sockets(case: Case) -> Cause | None:
    """A bound on open sockets."""
    if not case.refused.startswith("sockets-"):
        return None
    bound = case.refused.removeprefix("sockets-").replace("-", "_")
    return Cause(
        "too-many-sockets",
        "Too many WebSockets",
        "As many are open as are allowed: in all, for the service, or from one address.",
        f"Raise websocket.max_connections.{bound}, or look for a page that opens sockets and leaves them.",
    )


@rule
def host_unknown(case: Case) -> Cause | None:
    """No service has this Host."""
    if case.refused != "unmapped-host":
        return None
    return Cause(
        "host-unknown",
        "No service for this Host",
        "The Host of the request is in no entry of `services`, and there is no `default`.",
        "Add the host to `services`, or correct the address in the browser; `livegate check` lists them.",
    )


@rule
def backend_unreachable(case: Case) -> Cause | None:
    """No connection to the backend, or no answer in time."""
    if case.refused not in ("backend-unreachable", "backend-untrusted", "timeout-connect"):
        return None
    untrusted = case.refused == "backend-untrusted"
    return Cause(
        "backend-unreachable",
        "Backend not reachable",
        "Its TLS certificate was not accepted." if untrusted else "Nothing accepts connections at its address.",
        f"Check {_key(case, 'tls')} (ca_file, server_name)."
        if untrusted
        else f"Start the app, or correct {_key(case, 'backend')}.",
    )


@rule
def backend_slow(case: Case) -> Cause | None:
    """The backend accepted, and then said nothing."""
    if case.refused not in ("timeout-response", "timeout-upgrade"):
        return None
    phase = case.refused.removeprefix("timeout-")
    return Cause(
        "backend-slow",
        "Backend did not answer in time",
        "It took the request and sent no answer within the time that is allowed.",
        f"Find what is slow in the app (mount, a query), or raise {_key(case, f'timeouts.{phase}')}.",
    )


@rule
def gateway_draining(case: Case) -> Cause | None:
    """The gateway itself stops, or its settings changed."""
    ended_here = case.by == "gateway" and case.code == closing.SERVICE_RESTART
    if case.refused != "draining" and not ended_here:
        return None
    if "service was removed" in case.reason:
        return Cause(
            "service-removed",
            "Service removed from the settings",
            "A reload of the settings no longer has this service, so its sockets were closed.",
            "Put the service back if that was not meant.",
        )
    if "as long as allowed" in case.reason:
        return Cause(
            "max-age",
            "Socket was as old as allowed",
            "It was open for `websocket.max_age` and was closed so that the browser comes back.",
            f"Raise {_key(case, 'websocket.max_age')} or set it to null.",
        )
    return Cause(
        "gateway-draining",
        "The gateway was being stopped",
        "It closes sockets with 1012, spread over `timeouts.drain`; browsers reconnect by themselves.",
        "Nothing, when it was restarted on purpose.",
    )


# Refused by the app


@rule
def origin_refused_there(case: Case) -> Cause | None:
    """Phoenix's check_origin answers 403."""
    if not case.upgrade or case.refused or case.status != status_codes.FORBIDDEN:
        return None
    return Cause(
        "check-origin",
        "The app refused the upgrade with 403",
        "Most often Phoenix's `check_origin`: the Origin of the page is not the host that the app believes to have.",
        f"Add the page's origin to `check_origin` of the app's endpoint, or set {_key(case, 'origin')} to rewrite.",
    )


@rule
def stale_loop(case: Case) -> Cause | None:
    """Joins refused as stale: the session's CSRF token does not fit the cookie."""
    count = case.session.refusals["stale"] if case.session is not None else 0
    if not count:
        return None
    again = "again and again " if count >= STALE_LOOP else ""
    return Cause(
        "stale",
        "Join refused as stale: the page reloads" + (" in a loop" if count >= STALE_LOOP else ""),
        f"The app {again}found no session for the socket: the page's `_csrf_token` and the session cookie do not fit.",
        "Check that the cookie reaches the app (its domain, SameSite, Secure over http), that every node has one "
        "`secret_key_base`, and that no cache serves the page.",
    )


@rule
def unauthorized(case: Case) -> Cause | None:
    """A live navigation across live_sessions."""
    if case.session is None or not case.session.refusals["unauthorized"]:
        return None
    return Cause(
        "unauthorized",
        "Join refused as unauthorized",
        "The page was navigated to from another `live_session`, or an `on_mount` hook halted.",
        "Use a plain link (`href`) between live_sessions; check the `on_mount` hooks of this one.",
    )


@rule
def versions_apart(case: Case) -> Cause | None:
    """LiveView's client and server of different generations."""
    main = case.session.main if case.session is not None else None
    if main is None or main.version is None or main.modern_client is None:
        return None
    is_old_server = main.version.startswith("0.")
    if main.modern_client != is_old_server:
        return None
    client = "1.0 or later" if main.modern_client else "0.20 or earlier"
    return Cause(
        "versions-apart",
        "LiveView's client and server are versions apart",
        f"The page's JavaScript is LiveView {client}, the server's is {main.version}.",
        "Build the assets anew with the server's version (`mix deps.update`, `npm install`, `mix assets.deploy`), and "
        "look for a cache that serves old ones.",
    )


# Sockets that ended


@rule
def heartbeat_lost(case: Case) -> Cause | None:
    """phoenix.js closes with 1000 when its heartbeat is not answered."""
    if case.code is None or case.by != "client" or "heartbeat" not in case.reason:
        return None
    return Cause(
        "heartbeat-lost",
        "Heartbeat not answered",
        "The client waited for the answer to its heartbeat for 30 s, and gave the socket up.",
        "Look at the app: a channel process that blocks, a node that swaps, or a network that loses packets.",
    )


@rule
def app_idle(case: Case) -> Cause | None:
    """Cowboy closes an idle socket with 1000, Bandit with 1002, without a word."""
    if case.by != "backend" or case.code not in (closing.NORMAL, closing.PROTOCOL_ERROR) or case.reason:
        return None
    return Cause(
        "app-closed",
        "The app closed the socket",
        "With 1000 or 1002 and no reason: Cowboy's or Bandit's idle time-out (60 s without a frame), or the app "
        "ended the session (`disconnect`).",
        "See whether the client's heartbeats stopped (a sleeping tab, `heartbeatIntervalMs`), and raise the socket's "
        "`timeout` in the endpoint if they are meant to be rare.",
    )


@rule
def backend_lost(case: Case) -> Cause | None:
    """The backend's connection ended without a close frame."""
    if (case.code, case.by) != (closing.ABNORMAL, "backend"):
        return None
    return Cause(
        "backend-lost",
        "The backend is gone",
        "Its connection broke without a close frame: the app was killed, restarted or ran out of memory.",
        "Look at the app's log of that moment. LiveView reconnects by itself.",
    )


@rule
def backend_draining(case: Case) -> Cause | None:
    """Phoenix's socket drainer, or a disconnect broadcast."""
    if case.by != "backend" or case.code not in (closing.GOING_AWAY, closing.SERVICE_RESTART):
        return None
    return Cause(
        "backend-draining",
        "The app told its sockets to go",
        "It was being stopped (1012, the socket drainer), or a `disconnect` was broadcast (1001).",
        "Nothing, when it was deployed on purpose.",
    )


@rule
def backend_failed(case: Case) -> Cause | None:
    """The socket's process in the app raised."""
    if (case.code, case.by) != (closing.INTERNAL_ERROR, "backend"):
        return None
    return Cause(
        "backend-failed",
        "The app's socket process failed",
        "It raised an exception, often on a frame that it could not read.",
        "Look at the app's log; the last frames before the end show what it was sent.",
    )


@rule
def idle_cut(case: Case) -> Cause | None:
    """No frame in either direction."""
    if case.by != "gateway" or case.reason not in ("idle", "no pong"):
        return None
    if case.reason == "no pong":
        return Cause(
            "no-pong",
            "No pong",
            "One end did not answer the gateway's ping in 20 s, so the connection is dead.",
            "Nothing, when the tab or the machine was asleep.",
        )
    return Cause(
        "idle",
        "Idle for too long",
        "No frame came from either end for as long as `websocket.idle` allows; a page that lives beats every 30 s.",
        f"Nothing, when the tab was asleep; else raise {_key(case, 'websocket.idle')}.",
    )


@rule
def message_too_big(case: Case) -> Cause | None:
    """1009, whoever said it."""
    if case.code != closing.TOO_BIG:
        return None
    here = case.by == "gateway"
    return Cause(
        "message-too-big",
        "Message too big",
        "A message was longer than the gateway allows."
        if here
        else "The other end did not take a message of that size.",
        f"Raise {_key(case, 'websocket.max_message')}, or send less (uploads in chunks, streams)."
        if here
        else "Raise `max_frame_size` of the app's socket, or send less.",
    )


@rule
def protocol_broken(case: Case) -> Cause | None:
    """1002 and 1007 that the gateway gave."""
    if case.by != "gateway" or case.code not in (closing.PROTOCOL_ERROR, closing.INVALID_DATA):
        return None
    return Cause(
        "protocol",
        "Broken WebSocket frames",
        f"One end broke RFC 6455: {case.reason or 'a frame that may not be'}.",
        "Look for another proxy in between, or a client of one's own.",
    )


# Sessions


@rule
def pinned_to_long_poll(case: Case) -> Cause | None:
    """phoenix.js remembers in sessionStorage that the WebSocket failed once."""
    sockets = case.session.sockets if case.session is not None else []
    if not sockets or sockets[-1].transport != "longpoll" or sockets[-1].closed_at is not None:
        return None
    return Cause(
        "long-poll-pinned",
        "Pinned to long-poll",
        "The tab fell back from WebSocket to long-poll, and remembers that as long as it is open.",
        "In the tab: `sessionStorage.removeItem('phx:fallback:LongPoll')` and reload. Then see why the upgrade failed.",
    )


@rule
def crash_loop(case: Case) -> Cause | None:
    """The view crashes again and again."""
    if case.session is None or case.session.crashes < CRASH_LOOP:
        return None
    return Cause(
        "crash-loop",
        "The view crashes again and again",
        f"It did so {case.session.crashes} times in one tab; LiveView mounts it anew each time.",
        "The events without an answer before each crash show what makes it crash; the app's log shows where.",
    )

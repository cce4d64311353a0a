"""Loaded beside the gateway by tests: tells what the process holds, and does what a test asks, at Host `inside.test`."""

import asyncio
import gc
import json
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mitmproxy import ctx, http
from mitmproxy.proxy import server

from livegate.pipeline.websocket_admission import WebSocketAdmission
from livegate.websocket.registry import SocketRegistry


def requestheaders(flow: http.HTTPFlow) -> None:
    if flow.request.host_header == "inside.test":
        query = {name: values[0] for name, values in parse_qs(urlsplit(flow.request.path).query).items()}
        action = urlsplit(flow.request.path).path.strip("/")
        answer = ACTIONS[action](**query)
        flow.response = http.Response.make(200, json.dumps(answer), {"Content-Type": "application/json"})


def _registry() -> SocketRegistry:
    (admission,) = [addon for addon in ctx.master.addons.lookup.values() if isinstance(addon, WebSocketAdmission)]
    return admission._sockets


def held() -> dict[str, object]:
    """What is left of connections: everything counted without the one that asks."""
    gc.collect()
    loop = asyncio.get_running_loop()
    sockets = sum(_is_socket(entry) for entry in Path("/proc/self/fd").iterdir())
    registry = _registry()
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    return {
        "connections": len(ctx.master.addons.get("proxyserver").connections),
        "places": registry.reserved,
        "open": len(registry),
        "sockets": sockets,
        "tasks": len(tasks),
        "waiting": sorted(_where(task) for task in asyncio.all_tasks() if "connection handler" in task.get_name()),
        "timers": len([timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]),
        "handlers": sum(isinstance(each, server.ConnectionHandler) for each in gc.get_objects()),
    }


def _where(task: asyncio.Task[object]) -> str:
    frames = task.get_stack()
    place = f"{frames[-1].f_code.co_name}:{frames[-1].f_lineno}" if frames else "-"
    connection = frames[0].f_locals.get("connection") if frames else None
    return f"{task.get_name()[:25]} at {place}, {connection}"


def transports() -> list[str]:
    """Transport classes of the open sockets' peers."""
    relays = _registry()._open
    return [type(peer.transport).__name__ for relay in relays for peer in (relay.client, relay.backend)]


def flows() -> list[dict[str, object]]:
    """The open sockets' flows."""
    relays = _registry()._open
    return [
        {
            "path": relay.flow.request.path,
            "messages": len(relay.websocket.messages),
            "evicted": relay.history.evicted,
            "intercepted": relay.flow.intercepted,
        }
        for relay in relays
    ]


def _flow(path: str) -> http.HTTPFlow:
    relays = _registry()._open
    return next(relay.flow for relay in relays if relay.flow.request.path == path)


def inject(path: str, to_client: str, text: str) -> None:
    ctx.master.commands.call("inject.websocket", _flow(path), to_client == "1", text.encode(), True)


def kill(path: str) -> None:
    _flow(path).kill()


def resume(path: str) -> None:
    _flow(path).resume()


def seen() -> list[str]:
    """What the meddler has seen."""
    return list(ctx.master.addons.get("meddler").seen)


def connections() -> int:
    """How many clients are connected."""
    return len(ctx.master.addons.get("proxyserver").connections)


def collect_nothing() -> None:
    """From now on what only the collector could free stays."""
    gc.collect()
    gc.disable()


def cycles() -> dict[str, int]:
    """What only the collector could free since then, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    gc.enable()
    found = Counter(type(each).__name__ for each in gc.garbage)
    gc.garbage.clear()
    return dict(found.most_common())


def _is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except OSError:
        return False


ACTIONS = {
    action.__name__: action
    for action in (held, connections, transports, flows, inject, kill, resume, seen, collect_nothing, cycles)
}

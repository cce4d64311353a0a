"""mitmproxy's hook dispatch as a table: which bound hooks an event has is looked up once, not for every event.

`AddonManager.trigger_event` walks all addons for every event and enters a context manager for each; that is half of
mitmproxy's time. Semantics stay the same: order, `AddonHalt`, logged errors, awaited coroutines, addons that come and
go. A hook that is put on an addon after the addon was registered is found once any addon is registered or removed.
"""

import asyncio
import contextlib
import functools
import inspect
import logging
import sys
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from mitmproxy import addonmanager, ctx, exceptions, hooks, log
from mitmproxy.addons import (
    anticache,
    anticomp,
    blocklist,
    disable_h2c,
    dumper,
    maplocal,
    mapremote,
    modifybody,
    modifyheaders,
    onboarding,
    savehar,
    stickyauth,
    stickycookie,
    tlsconfig,
    update_alt_svc,
)
from mitmproxy.flow import Flow
from mitmproxy.http import HTTPFlow

from livegate.logs.context import about
from livegate.tasks import retain

logger = logging.getLogger("mitmproxy.addonmanager")

UPDATES_PER_SECOND = 20
"""How often a user interface is told that one flow has changed."""

FLOW_EVENTS = frozenset(
    {"requestheaders", "request", "responseheaders", "response", "error"}
    | {"websocket_start", "websocket_message", "websocket_end"}
)
type Hook = Callable[..., Any]
type Group = tuple[Hook, ...]
_ATTRIBUTE = "livegate_hook_table"
"""Attribute of the addon manager that holds its table."""


class HookTable:
    """The hooks of an addon manager by event name: for each top-level addon its own hooks and its children's.

    An error in one of them ends that addon's group, as in mitmproxy; the next group goes on.
    """

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._groups: dict[str, tuple[Group, ...]] = {}
        self.has_ui = bool(self._look_up("update"))
        """Whether there is a user interface that wants to know of changed flows."""
        self._rate_limited: dict[str, bool] = {}
        """Flows that the user interfaces were told of a moment ago, and whether there is news since."""

    def invalidate(self) -> None:
        """Look everything up anew: addons have come or gone."""
        self._groups.clear()
        self.has_ui = bool(self._look_up("update"))

    def options_changed(self, updated: set[str]) -> None:
        """Addons that had nothing to do may have something to do now."""
        del updated  # whichever: it happens rarely
        self.invalidate()

    def run(self, name: str, *args: Any) -> Awaitable[None] | None:
        """Call the hooks of an event. What is returned, if anything, must be awaited: what an async hook left to do."""
        groups = self._groups.get(name)
        if groups is None:
            groups = self._look_up(name)
        remaining = iter(groups)
        for group in remaining:
            remaining_hooks = iter(group)
            try:
                for hook in remaining_hooks:
                    result = hook(*args)
                    if result is not None and inspect.isawaitable(result):
                        return _run_remaining(name, result, (tuple(remaining_hooks), *remaining), args)
            except exceptions.AddonHalt:
                return None
            except exceptions.OptionsError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever an addon raises is logged, as in mitmproxy
                _log(name, error, args)
        return None

    def lifecycle(self, name: str, data: Any) -> Awaitable[None] | None:
        """`run`, and when it was about a flow, tell the user interfaces."""
        pending = self.run(name, data)
        if not isinstance(data, Flow):
            return pending
        if pending is not None:
            return self._then_update(pending, data)
        self.update(data)
        return None

    async def _then_update(self, pending: Awaitable[None], flow: Flow) -> None:
        await pending
        self.update(flow)

    def update(self, flow: Flow) -> None:
        """Tell the user interfaces of a flow, at once or, if they were told a moment ago, at the end of that moment."""
        if not self.has_ui:
            return
        if flow.id in self._rate_limited:
            self._rate_limited[flow.id] = True
            return
        self._rate_limited[flow.id] = False
        loop = asyncio.get_running_loop()
        loop.call_later(1 / UPDATES_PER_SECOND, self._end_rate_limit, flow)
        pending = self.run("update", [flow])
        if pending is not None:
            retain(asyncio.ensure_future(pending))

    def _end_rate_limit(self, flow: Flow) -> None:
        if self._rate_limited.pop(flow.id):
            self.update(flow)

    def wants_log_events(self, record: logging.LogRecord) -> bool:
        """Whether any addon wants the lines of the log as the events that they were before mitmproxy 9."""
        del record
        return self._has_hooks("add_log")

    def trigger(self, event: hooks.Hook) -> None:
        """Stands in for AddonManager.trigger; hooks must be sync."""
        if self._has_hooks(event.name):
            addonmanager.AddonManager.trigger(self._manager, event)

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Stands in for AddonManager.trigger_event."""
        pending = self.run(event.name, *event.args())
        if pending is not None:
            await pending

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Stands in for AddonManager.handle_lifecycle."""
        pending = self.lifecycle(event.name, *event.args())
        if pending is not None:
            await pending

    def _has_hooks(self, name: str) -> bool:
        groups = self._groups.get(name)
        return bool(self._look_up(name) if groups is None else groups)

    def _look_up(self, name: str) -> tuple[Group, ...]:
        found = (tuple(_hooks_of(addon, name)) for addon in self._manager.chain)
        groups = self._groups[name] = tuple(group for group in found if group)
        return groups

    def invalidating(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method of the addon manager that changes which addons there are, so that the table follows."""

        def changing(*args: Any) -> Any:
            self.invalidate()
            try:
                return method(*args)
            finally:
                self.invalidate()
                with contextlib.suppress(RuntimeError):  # before the loop runs nothing is dispatched
                    # Once more when the caller is through: a script is entered after it has been registered.
                    asyncio.get_running_loop().call_soon(self.invalidate)

        return changing


def _log_events(manager: addonmanager.AddonManager) -> list[log.LegacyLogEvents]:
    """What makes events of the log's lines."""
    found = [each for each in logging.getLogger().handlers if isinstance(each, log.LegacyLogEvents)]
    return [each for each in found if each.master is manager.master]


def install(manager: addonmanager.AddonManager) -> HookTable:
    """Let a table dispatch the events of an addon manager."""
    replaced: Any = manager
    table = HookTable(manager)
    setattr(replaced, _ATTRIBUTE, table)
    replaced.master.options.changed.connect(table.options_changed)
    for name in ("register", "add", "remove", "clear"):
        setattr(replaced, name, table.invalidating(getattr(type(manager), name).__get__(manager)))
    for each in _log_events(manager):  # which would wake up the event loop for each line
        each.addFilter(table.wants_log_events)
    replaced.trigger = table.trigger
    replaced.trigger_event = table.trigger_event
    replaced.handle_lifecycle = table.handle_lifecycle
    return table


def uninstall(manager: addonmanager.AddonManager) -> None:
    """Give the dispatch back to mitmproxy's own code."""
    options: Any = manager.master.options
    table = table_of(manager)
    options.changed.disconnect(table.options_changed)
    for each in _log_events(manager):
        each.removeFilter(table.wants_log_events)
    for name in ("register", "add", "remove", "clear", "trigger", "trigger_event", "handle_lifecycle", _ATTRIBUTE):
        vars(manager).pop(name, None)


def table_of(manager: addonmanager.AddonManager) -> HookTable:
    """The table of an addon manager; one that is not installed still calls the same hooks."""
    table: HookTable | None = getattr(manager, _ATTRIBUTE, None)
    return table or HookTable(manager)


class SkippableAddon:
    """An addon of ours whose hooks for flows do nothing while it is idle; whoever changes that has the table forget."""

    @property
    def skip(self) -> bool:
        """Whether it has nothing to do."""
        raise NotImplementedError


_SKIP_WHEN_EMPTY: tuple[tuple[type, str], ...] = (
    (blocklist.BlockList, "items"),
    (maplocal.MapLocal, "replacements"),
    (mapremote.MapRemote, "replacements"),
    (modifybody.ModifyBody, "replacements"),
    (modifyheaders.ModifyHeaders, "replacements"),
    (stickyauth.StickyAuth, "flt"),
    (stickycookie.StickyCookie, "flt"),
)
"""Addons of mitmproxy's own whose hooks do nothing while this attribute is empty. Options set it."""
_SKIP_WHEN_OFF: tuple[tuple[type, str], ...] = (
    (dumper.Dumper, "flow_detail"),
    (onboarding.Onboarding, "onboarding"),
    (anticache.AntiCache, "anticache"),
    (anticomp.AntiComp, "anticomp"),
    (savehar.SaveHar, "hardump"),
)
"""Likewise for options; the console tools do not have them all."""


_REPLACED: tuple[type, ...] = (disable_h2c.DisableH2C, tlsconfig.TlsConfig, update_alt_svc.UpdateAltSvc)
"""Addons whose hooks for flows do what the gateway does itself (h2c, Alt-Svc), or no gateway should: answer a path
that was not asked of mitmproxy (a list of revoked certificates)."""


def _is_skippable(addon: Any) -> bool:
    """Whether the hooks for flows of an addon do nothing as the options stand; they would take their time for it."""
    if isinstance(addon, SkippableAddon):
        return addon.skip
    if type(addon) in _REPLACED:
        return True
    for kind, attribute in _SKIP_WHEN_EMPTY:
        if type(addon) is kind:
            return not getattr(addon, attribute, True)
    for kind, option in _SKIP_WHEN_OFF:
        if type(addon) is kind:
            return option in ctx.options and not getattr(ctx.options, option)
    return False


def _hooks_of(addon: Any, name: str) -> Iterator[Hook]:
    for each in addonmanager.traverse([addon]):
        hook = getattr(each, name, None)
        if not hook or isinstance(hook, types.ModuleType):  # a script may import a module of an event's name
            continue
        if name in FLOW_EVENTS and _is_skippable(each):
            continue
        yield hook if callable(hook) else _not_callable(name, each)


def _not_callable(name: str, addon: Any) -> Hook:
    def raise_not_callable(*_: Any) -> None:
        raise exceptions.AddonManagerError(f"Addon handler {name} ({addon}) not callable")

    return raise_not_callable


async def _run_remaining(name: str, first: Awaitable[Any], groups: tuple[Group, ...], args: tuple[Any, ...]) -> None:
    """The rest of an event: `first` is under way, the hooks of `groups` have not been called."""
    pending: Awaitable[Any] | None = first
    for group in groups:
        try:
            if pending is not None:
                awaiting, pending = pending, None
                await awaiting
            for hook in group:
                result = hook(*args)
                if result is not None and inspect.isawaitable(result):
                    await result
        except exceptions.AddonHalt:
            return
        except exceptions.OptionsError:
            raise
        except Exception as error:  # noqa: BLE001 - as in `run`
            _log(name, error, args)


hook_errors: Counter[str] = Counter()
"""How often a hook for the event of this name has raised."""


def _log(name: str, error: Exception, args: tuple[Any, ...]) -> None:
    """As mitmproxy does it: without its own frames."""
    _, _, trace = sys.exc_info()
    for function in ("run", "_run_remaining", "isolating"):
        trace = addonmanager.cut_traceback(trace, function)
    hook_errors[name] += 1
    subject = about(args[0]) if args and isinstance(args[0], HTTPFlow) else None
    logger.error("Addon error: %s", error, exc_info=(type(error), error, trace), extra=subject)


def isolated[Addon](hook: Callable[[Addon, HTTPFlow], None]) -> Callable[[Addon, HTTPFlow], None]:
    """Wrap a hook `(self, flow)` of an addon that only looks on: when it raises, the addons after it still run."""

    @functools.wraps(hook)
    def isolating(self: Addon, flow: HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception as error:  # noqa: BLE001 - it is logged and counted as any other
            _log(hook.__name__, error, (flow,))

    return isolating

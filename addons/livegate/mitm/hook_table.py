"""Hook dispatch by a table of bound hooks for each event, instead of mitmproxy's search through all addons.

`AddonManager.trigger_event` takes half of mitmproxy's time: it walks all addons and enters a context manager for each.
The semantics are its own: order, `AddonHalt`, logged errors, awaited coroutines, addons added and removed. A hook that
is set on a registered addon later takes effect when the next addon is registered or removed.
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
"""Per flow; more changes are coalesced, because mitmweb sends each update to every browser."""

FLOW_EVENTS = frozenset(
    {"requestheaders", "request", "responseheaders", "response", "error"}
    | {"websocket_start", "websocket_message", "websocket_end"}
)
type Hook = Callable[..., Any]
type Group = tuple[Hook, ...]
_ATTRIBUTE = "livegate_hook_table"
"""Name of the addon manager's attribute that holds its table."""


class HookTable:
    """Hooks of an addon manager by event name, in one group for each top-level addon and its children.

    An exception skips the rest of the hook's group, as in mitmproxy. The next group runs.
    """

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._groups: dict[str, tuple[Group, ...]] = {}
        self.has_ui = bool(self._look_up("update"))
        """Whether a user interface handles `update` events."""
        self._rate_limited: dict[str, bool] = {}
        """Flows that were updated less than an interval ago, and whether they have changed since."""

    def invalidate(self) -> None:
        """Clear the table, because addons were added, removed, or changed `skip`."""
        self._groups.clear()
        self.has_ui = bool(self._look_up("update"))

    def options_changed(self, updated: set[str]) -> None:
        """Clear the table, because an option may turn a skipped addon on."""
        del updated
        self.invalidate()

    def run(self, name: str, *args: Any) -> Awaitable[None] | None:
        """Call the hooks of an event. Returns the rest to await if one of them is async, else None."""
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
        """Call the hooks of an event, then `update` when `data` is a flow."""
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
        """Notify the user interfaces of a changed flow, at most UPDATES_PER_SECOND times a second."""
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
        """Return whether any addon has an `add_log` hook, as before mitmproxy 9."""
        del record
        return self._has_hooks("add_log")

    def trigger(self, event: hooks.Hook) -> None:
        """Replace AddonManager.trigger. Hooks must be sync."""
        if self._has_hooks(event.name):
            addonmanager.AddonManager.trigger(self._manager, event)

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Replace AddonManager.trigger_event."""
        pending = self.run(event.name, *event.args())
        if pending is not None:
            await pending

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Replace AddonManager.handle_lifecycle."""
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
        """Wrap a method of the addon manager that adds or removes addons, to clear the table."""

        def changing(*args: Any) -> Any:
            self.invalidate()
            try:
                return method(*args)
            finally:
                self.invalidate()
                with contextlib.suppress(RuntimeError):  # without a loop nothing is dispatched
                    # Once more after the caller returns, because a script is entered after it has been registered.
                    asyncio.get_running_loop().call_soon(self.invalidate)

        return changing


def _log_events(manager: addonmanager.AddonManager) -> list[log.LegacyLogEvents]:
    """Return the log handlers that turn lines into `add_log` events."""
    found = [each for each in logging.getLogger().handlers if isinstance(each, log.LegacyLogEvents)]
    return [each for each in found if each.master is manager.master]


def install(manager: addonmanager.AddonManager) -> HookTable:
    """Dispatch the events of an addon manager by a table."""
    replaced: Any = manager
    table = HookTable(manager)
    setattr(replaced, _ATTRIBUTE, table)
    replaced.master.options.changed.connect(table.options_changed)
    for name in ("register", "add", "remove", "clear"):
        setattr(replaced, name, table.invalidating(getattr(type(manager), name).__get__(manager)))
    for each in _log_events(manager):  # an unfiltered one wakes the event loop up for each line
        each.addFilter(table.wants_log_events)
    replaced.trigger = table.trigger
    replaced.trigger_event = table.trigger_event
    replaced.handle_lifecycle = table.handle_lifecycle
    return table


def uninstall(manager: addonmanager.AddonManager) -> None:
    """Restore mitmproxy's dispatch."""
    options: Any = manager.master.options
    table = table_of(manager)
    options.changed.disconnect(table.options_changed)
    for each in _log_events(manager):
        each.removeFilter(table.wants_log_events)
    for name in ("register", "add", "remove", "clear", "trigger", "trigger_event", "handle_lifecycle", _ATTRIBUTE):
        vars(manager).pop(name, None)


def table_of(manager: addonmanager.AddonManager) -> HookTable:
    """Return the table of an addon manager, or a new one that is not installed but calls the same hooks."""
    table: HookTable | None = getattr(manager, _ATTRIBUTE, None)
    return table or HookTable(manager)


class SkippableAddon:
    """Addon whose flow hooks are skipped while `skip` is true. After a change, call `HookTable.invalidate`."""

    @property
    def skip(self) -> bool:
        """Whether the flow hooks do nothing."""
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
"""mitmproxy's addons that do nothing while this attribute, which options set, is empty."""
_SKIP_WHEN_OFF: tuple[tuple[type, str], ...] = (
    (dumper.Dumper, "flow_detail"),
    (onboarding.Onboarding, "onboarding"),
    (anticache.AntiCache, "anticache"),
    (anticomp.AntiComp, "anticomp"),
    (savehar.SaveHar, "hardump"),
)
"""mitmproxy's addons that do nothing while this option is off. Some tools lack some of them."""


_REPLACED: tuple[type, ...] = (disable_h2c.DisableH2C, tlsconfig.TlsConfig, update_alt_svc.UpdateAltSvc)
"""mitmproxy's addons whose flow hooks the gateway replaces (h2c, Alt-Svc) or must not run: `TlsConfig` responds to
requests for its revocation list."""


def _is_skippable(addon: Any) -> bool:
    """Return whether an addon's flow hooks do nothing, so that calling them only takes time."""
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
    """Await `first`, then call the remaining hooks in `groups`."""
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
"""Number of exceptions in hooks, by event."""


def _log(name: str, error: Exception, args: tuple[Any, ...]) -> None:
    """Log and count an exception, without the frames of the dispatch, as mitmproxy does."""
    _, _, trace = sys.exc_info()
    for function in ("run", "_run_remaining", "isolating"):
        trace = addonmanager.cut_traceback(trace, function)
    hook_errors[name] += 1
    subject = about(args[0]) if args and isinstance(args[0], HTTPFlow) else None
    logger.error("Addon error: %s", error, exc_info=(type(error), error, trace), extra=subject)


def isolated[Addon](hook: Callable[[Addon, HTTPFlow], None]) -> Callable[[Addon, HTTPFlow], None]:
    """Decorate an observer hook `(self, flow)`. An exception is logged and counted; later addons still run."""

    @functools.wraps(hook)
    def isolating(self: Addon, flow: HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception as error:  # noqa: BLE001 - it is logged and counted as any other
            _log(hook.__name__, error, (flow,))

    return isolating

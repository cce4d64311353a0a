"""The hook table does what mitmproxy's addon manager does; both run the same tests."""

import asyncio
import logging
import types
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy import addonmanager, exceptions, hooks, log, options
from mitmproxy.addons import disable_h2c, dumper, maplocal, tlsconfig, update_alt_svc
from mitmproxy.http import HTTPFlow
from mitmproxy.master import Master
from mitmproxy.proxy.layers.http import HttpRequestHook, HttpResponseHook
from mitmproxy.test import taddons, tflow

from livegate.logs.context import FLOW
from livegate.mitm import hook_table


class Recorder:
    """Writes down the events it sees; its children are `addons`."""

    def __init__(self, name: str, log: list[str], *children: Any) -> None:
        self.name = name
        self.log = log
        self.addons = list(children)

    def request(self, flow: HTTPFlow) -> None:
        self.log.append(self.name)


class Failing(Recorder):
    def request(self, flow: HTTPFlow) -> None:
        super().request(flow)
        raise ValueError("on purpose")


class Halting(Recorder):
    def request(self, flow: HTTPFlow) -> None:
        super().request(flow)
        raise exceptions.AddonHalt


class Slow(Recorder):
    async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]
        self.log.append(f"{self.name} begins")
        await asyncio.sleep(0)
        self.log.append(f"{self.name} ends")


class SlowFailing(Slow):
    async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]
        await super().request(flow)
        raise ValueError("on purpose")


class SlowHalting(Slow):
    async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]
        await super().request(flow)
        raise exceptions.AddonHalt


class BadOption(Recorder):
    def request(self, flow: HTTPFlow) -> None:
        raise exceptions.OptionsError("an option")


class SlowBadOption(Recorder):
    async def request(self, flow: HTTPFlow) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        raise exceptions.OptionsError("an option")


@pytest.fixture(params=["table", "stock"])
async def master(request: pytest.FixtureRequest) -> Iterator[Master]:
    with taddons.context(loadcore=False) as context:
        if request.param == "table":
            hook_table.install(context.master.addons)
        yield context.master
        if request.param == "table":
            hook_table.uninstall(context.master.addons)
            assert "trigger_event" not in vars(context.master.addons)


async def request(master: Master) -> None:
    await master.addons.trigger_event(HttpRequestHook(tflow.tflow()))


async def test_addons_and_their_children_are_called_in_order(master: Master) -> None:
    log: list[str] = []
    master.addons.add(
        Recorder("a", log, Recorder("b", log), Recorder("c", log, Recorder("d", log))), Recorder("e", log)
    )
    await request(master)
    assert log == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("kind", [Failing, SlowFailing])
async def test_an_error_is_logged_ends_its_top_level_addon_and_no_other(master: Master, caplog, kind) -> None:
    log: list[str] = []
    master.addons.add(Recorder("a", log, kind("b", log), Recorder("skipped", log)), Recorder("c", log))
    await request(master)
    assert [entry for entry in log if "b " not in entry and entry != "b"] == ["a", "c"]
    assert "Addon error: on purpose" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("kind", [Halting, SlowHalting])
async def test_halt_ends_the_event(master: Master, kind) -> None:
    log: list[str] = []
    master.addons.add(Recorder("a", log), kind("b", log), Recorder("c", log))
    await request(master)
    assert log[0] == "a"
    assert "c" not in log


async def test_async_hooks_are_awaited_in_their_place(master: Master) -> None:
    log: list[str] = []
    master.addons.add(
        Recorder("a", log), Slow("b", log, Slow("c", log), Recorder("d", log)), Failing("e", log), Slow("f", log)
    )
    await request(master)
    assert log == ["a", "b begins", "b ends", "c begins", "c ends", "d", "e", "f begins", "f ends"]


@pytest.mark.parametrize("kind", [BadOption, SlowBadOption])
async def test_an_options_error_reaches_the_caller(master: Master, kind) -> None:
    master.addons.add(kind("a", []))
    with pytest.raises(exceptions.OptionsError):
        await request(master)


async def test_added_and_removed_addons_take_effect_at_once(master: Master) -> None:
    log: list[str] = []
    first, second = Recorder("a", log), Recorder("b", log)
    master.addons.add(first)
    await request(master)
    master.addons.add(second)
    await request(master)
    master.addons.remove(first)
    await request(master)
    master.addons.clear()
    await request(master)
    assert log == ["a", "a", "b", "b"]


async def test_a_script_that_is_entered_after_its_registration_is_seen(master: Master) -> None:
    """As mitmproxy's script loader does it: registered first, put among the children then."""
    log: list[str] = []
    parent, child = Recorder("parent", log), Recorder("child", log)
    master.addons.add(parent)
    master.addons.register(child)
    await request(master)
    parent.addons.append(child)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    log.clear()
    master.addons.register(Recorder("unrelated", []))
    parent.addons.append(master.addons.get("unrelated"))
    await asyncio.sleep(0.01)
    await request(master)
    assert log == ["parent", "child"]


async def test_modules_of_an_events_name_are_no_hooks_and_other_things_are_errors(master: Master, caplog) -> None:
    addon = types.SimpleNamespace(name="odd", request=types, response=17)
    master.addons.add(addon)
    await request(master)
    assert not caplog.text
    await master.addons.trigger_event(HttpResponseHook(tflow.tflow()))
    assert "not callable" in caplog.text


async def test_lifecycle_updates_the_user_interfaces_for_flows_only(master: Master) -> None:
    told: list[Any] = []
    master.addons.add(types.SimpleNamespace(name="ui", update=told.extend))
    flow = tflow.tflow()
    await master.addons.handle_lifecycle(HttpRequestHook(flow))
    assert told == [flow]
    await master.addons.handle_lifecycle(hooks.ConfigureHook(set()))
    assert told == [flow]


async def test_lifecycle_awaits_async_hooks_before_the_update(master: Master) -> None:
    log: list[Any] = []
    master.addons.add(Slow("a", log), types.SimpleNamespace(name="ui", update=lambda flows: log.append("update")))
    await master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))
    assert log == ["a begins", "a ends", "update"]


async def test_sync_triggers_work_as_before(master: Master) -> None:
    log: list[str] = []
    master.addons.trigger(HttpRequestHook(tflow.tflow()))
    master.addons.add(Recorder("a", log), Failing("b", log), Halting("c", log), Recorder("d", log))
    master.addons.trigger(HttpRequestHook(tflow.tflow()))
    assert log == ["a", "b", "c"]


# What only the table does


@pytest.fixture
async def table() -> Iterator[tuple[Master, hook_table.HookTable]]:
    with taddons.context(loadcore=False) as context:
        yield context.master, hook_table.install(context.master.addons)
        hook_table.uninstall(context.master.addons)


async def fails_later(flow: HTTPFlow) -> None:
    await asyncio.sleep(0)
    raise ValueError("on purpose")


@pytest.mark.parametrize("function", [lambda flow: 1 / 0, lambda: None, fails_later])
async def test_an_error_is_counted_under_its_events_name_whatever_the_function_is_called(table, function) -> None:
    master, _ = table
    before = hook_table.hook_errors.copy()
    master.addons.add(types.SimpleNamespace(name="script", request=function))
    await request(master)
    assert hook_table.hook_errors - before == {"request": 1}


async def test_updates_of_one_flow_are_merged_and_the_last_one_is_never_lost(table) -> None:
    master, installed = table
    told: list[Any] = []
    master.addons.add(types.SimpleNamespace(name="ui", update=told.extend))
    one, other = tflow.tflow(), tflow.tflow()
    for _ in range(500):
        installed.update(one)
    installed.update(other)
    assert told == [one, other]
    async with asyncio.timeout(10):
        while installed._rate_limited:
            await asyncio.sleep(0.01)
    assert told == [one, other, one]


async def test_an_async_update_hook_is_run_as_well(table) -> None:
    master, installed = table
    told: list[Any] = []

    async def update(flows: Any) -> None:
        await asyncio.sleep(0)
        told.extend(flows)

    master.addons.add(types.SimpleNamespace(name="ui", update=update))
    flow = tflow.tflow()
    installed.update(flow)
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0)
    assert told == [flow]


async def test_nothing_is_updated_without_a_user_interface(table) -> None:
    _, installed = table
    installed.update(tflow.tflow())
    assert not installed._rate_limited
    assert not installed.has_ui


async def test_mitmproxys_addons_are_skipped_while_their_options_are_empty(table) -> None:
    master, installed = table
    local, dump = maplocal.MapLocal(), dumper.Dumper()
    master.addons.add(local, dump)
    master.options.update(flow_detail=0)
    assert installed._look_up("request") == ()
    assert installed._look_up("websocket_message") == ()
    master.options.update(flow_detail=1, map_local=["|x.test|/"])
    assert installed._look_up("request") == ((local.request,),)
    assert installed._look_up("websocket_message") == ((dump.websocket_message,),)


def test_an_addon_manager_without_a_table_is_served_by_a_fresh_one() -> None:
    async def run() -> None:
        master = Master(options.Options())
        log: list[str] = []
        master.addons.add(Recorder("a", log))
        assert hook_table.table_of(master.addons).run("request", tflow.tflow()) is None
        assert log == ["a"]

    asyncio.run(run())


def test_the_manager_can_be_changed_before_any_loop_runs() -> None:
    manager = types.SimpleNamespace(chain=[])
    table = hook_table.HookTable(manager)  # type: ignore[arg-type]
    assert table.invalidating(lambda: 7)() == 7
    assert isinstance(addonmanager.traverse([]), types.GeneratorType)


async def test_a_skippable_addon_has_no_flow_hooks_while_it_is_skipped(table) -> None:
    class Sleeper(hook_table.SkippableAddon):
        skip = True

        def request(self, flow: HTTPFlow) -> None: ...

        def running(self) -> None: ...

    master, installed = table
    sleeper = Sleeper()
    master.addons.add(sleeper)

    def hooks_of(name: str) -> list[Any]:
        return [hook.__self__ for group in installed._look_up(name) for hook in group]

    assert sleeper not in hooks_of("request")
    assert sleeper in hooks_of("running"), "its life goes on"
    sleeper.skip = False
    assert sleeper in hooks_of("request")


class Onlooker:
    @hook_table.isolated
    def request(self, flow: HTTPFlow) -> None:
        raise ValueError("has seen too much")


async def test_an_exception_of_an_observer_hook_does_not_stop_later_addons(
    master: Master, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    master.addons.add(Recorder("a", log, Onlooker(), Recorder("b", log)))
    before = hook_table.hook_errors["request"]
    await request(master)
    assert log == ["a", "b"]
    assert hook_table.hook_errors["request"] == before + 1
    (record,) = caplog.records
    assert record.getMessage() == "Addon error: has seen too much"
    assert isinstance(vars(record)[FLOW], HTTPFlow)


async def test_log_lines_become_events_only_when_an_addon_handles_them() -> None:
    woken: list[str] = []

    class Listener:
        def add_log(self, entry: log.LogEntry) -> None:
            woken.append(entry.msg)

    with taddons.context() as context:
        manager = context.master.addons
        (events,) = [each for each in logging.getLogger().handlers if isinstance(each, log.LegacyLogEvents)]
        record = logging.LogRecord("livegate", logging.INFO, "", 0, "hello", None, None)
        assert events.filter(record)
        hook_table.install(manager)
        assert not events.filter(record)
        listener = Listener()
        manager.add(listener)
        assert events.filter(record)
        events.handle(record)
        await asyncio.sleep(0)
        assert [message.split()[-1] for message in woken] == ["hello"]
        manager.remove(listener)
        assert not events.filter(record)
        hook_table.uninstall(manager)
        assert events.filter(record)


def test_mitmproxys_hooks_that_the_gateway_replaces_are_skipped_except_those_for_tls() -> None:
    needless = (disable_h2c.DisableH2C(), update_alt_svc.UpdateAltSvc(), tlsconfig.TlsConfig())
    with taddons.context(*needless) as context:
        table = hook_table.install(context.master.addons)
        flow = tflow.tflow(resp=True)
        flow.response.headers["Alt-Svc"] = 'h3="other.test:443"'
        flow.request.headers["Upgrade"] = "h2c"
        for event in ("request", "responseheaders"):
            assert table.run(event, flow) is None
        assert flow.response.headers["Alt-Svc"] == 'h3="other.test:443"', "Headers drops it"
        assert flow.request.headers["Upgrade"] == "h2c", "so it does with this"
        assert table._look_up("tls_start_client") != ()
        hook_table.uninstall(context.master.addons)

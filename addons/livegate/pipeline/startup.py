"""Brings the gateway up on mitmproxy: safe options, settings, listener, reload. The first addon of the pipeline."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from mitmproxy import ctx, exceptions
from mitmproxy.addonmanager import Loader
from mitmproxy.proxy.mode_specs import ReverseMode

from livegate import mitm
from livegate.logs.terminal import Terminal
from livegate.mitm import decoding_limits, fast_validation, hook_table
from livegate.mitm.layers import handler
from livegate.mitm.options import is_set
from livegate.mitm.proxyserver import close_client, prepare_certificate_store
from livegate.pipeline.next_layer import BLACK_HOLE
from livegate.redaction.content_coding import decode
from livegate.settings import CurrentSettings, Listen, Settings, SettingsError, find_settings_file, load_settings, watch

logger = logging.getLogger(__name__)

SAFE_OPTIONS: dict[str, object] = {
    "connection_strategy": "lazy",  # else a backend is dialled before anybody has asked for anything
    "keep_host_header": True,  # else mitmproxy rewrites Host before the router has seen it
    "http2": False,  # a client's HTTP/2 connection would share five backend connections, and long-polls starve
    "onboarding": False,  # else anybody who sends `Host: mitm.it` is answered by mitmproxy's own app
    "rawtcp": False,  # else what does not look like HTTP is tunnelled
    "block_global": False,  # else clients with public addresses are dropped
    "validate_inbound_headers": True,  # else request smuggling is not refused
    "emudhra": False,  # else certificates are signed with the key of a compromised CA, which anybody has
    "emudhra_old": False,
}
"""Options that a gateway needs, with what would happen otherwise. Not every mitmproxy has all of them."""
IGNORED_OPTIONS = {"stream_large_bodies": "limits.stream_above", "body_size_limit": "limits.body"}
MODE = f"reverse:http://{BLACK_HOLE[0]}:{BLACK_HOLE[1]}"


def mode_spec(listen: Listen) -> str:
    """The mitmproxy mode for a listener: a reverse proxy whose own target is a black hole."""
    return f"{MODE}@{listen.host}:{listen.port}" if listen.host else f"{MODE}@{listen.port}"


def has_terminal() -> bool:
    """Whether the process has a controlling terminal, and that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _safe_options() -> list[tuple[str, object]]:
    """Those that this mitmproxy has."""
    return [(name, safe) for name, safe in SAFE_OPTIONS.items() if name in ctx.options]


class Startup:
    """Load the settings and keep them current; hold mitmproxy's options to what is safe for a gateway."""

    def __init__(self, current: CurrentSettings, terminal: Terminal) -> None:
        self._current = current
        self._terminal = terminal
        self._path: Path | None = None
        self._running = False
        self._has_terminal = has_terminal()
        self._stop_watching = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_reload: list[Callable[[bool], None]] = []
        """Each is called with whether a reload was good."""

    def load(self, loader: Loader) -> None:
        loader.add_option(
            "gateway_config",
            str,
            "",
            "The gateway's settings file (else GATEWAY_CONFIG_FILE, else configs/gateway.yaml).",
        )
        loader.add_option(
            "gateway_hand_over",
            bool,
            True,
            "Relay WebSockets between plain connections on the transports themselves, past mitmproxy's layers.",
        )
        self._make_safe()
        self._turn_out_strangers()
        if not mitm.SHAPE_PROBLEMS:
            hook_table.install(ctx.master.addons)
            handler.install()
            fast_validation.install()
            decoding_limits.install(decode)

    def configure(self, updated: set[str]) -> None:
        if self._running:
            self._refuse_unsafe(updated)
        if "gateway_config" in updated:
            self._load_settings()

    def running(self) -> None:
        self._make_safe()
        if not self._current.loaded and self._path is None:
            self._load_settings()
        if not self._current.loaded:
            return  # the problems were logged; mitmproxy ends with status 1
        if mitm.SHAPE_PROBLEMS:
            logger.warning(
                "this version of mitmproxy is unknown to livegate, which runs on its stock layers: no limits on "
                "request heads, no backend time limits, no limits on WebSockets, a lost backend looks like a clean "
                "close, and secrets are stored and shown by mitmproxy as they are (%s)",
                "; ".join(mitm.SHAPE_PROBLEMS),
            )
        self._running = True
        self._listen(self._current.value)
        self._turn_out_strangers()
        loop = asyncio.get_running_loop()
        self._on_hang_up(loop)
        if self._path is not None:
            watching = watch(self._path, self._watched, self.reload, self._stop_watching)
            self._keep(loop.create_task(watching, name="livegate settings watch"))
        prepare_certificate_store()
        loop.call_soon(self._current.ready.set)

    def done(self) -> None:
        self._stop_watching.set()
        for task in self._tasks:
            task.cancel()
        if self._running and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if not ctx.master.should_exit.is_set():  # this script is unloaded, the process goes on
            fast_validation.uninstall()
            decoding_limits.uninstall()
            handler.uninstall()
            hook_table.uninstall(ctx.master.addons)

    def reload(self) -> None:
        """Read the settings again and swap them in; with any problem the old ones stay (file change or SIGHUP)."""
        self._keep(asyncio.get_running_loop().create_task(self._reload(), name="livegate settings reload"))

    def _on_hang_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen for SIGHUP, but not in mitmproxy's console, which could not go on without its terminal."""
        in_console = ctx.master.addons.get("termlog") is None
        if hasattr(signal, "SIGHUP") and not in_console:
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _hang_up(self) -> None:
        """Reload, as servers do; but end when SIGHUP came because the terminal was closed, as other programs do."""
        if self._has_terminal and not has_terminal():
            ctx.master.shutdown()
        else:
            self.reload()

    async def _reload(self) -> None:
        try:
            settings = await asyncio.to_thread(
                load_settings, self._path, os.environ, own_listeners=self._own_listeners()
            )
        except SettingsError as error:
            for problem in error.problems:
                logger.error("%s", problem)
            logger.error("settings not reloaded: %d problem(s); the old ones stay in force", len(error.problems))
            self._reloaded(good=False)
            return
        self._apply(settings)
        self._listen(settings)
        logger.info("settings reloaded: %d service(s)", len(settings.services))
        self._reloaded(good=True)

    def _reloaded(self, *, good: bool) -> None:
        for listener in self.on_reload:
            listener(good)

    def _load_settings(self) -> None:
        try:
            self._path = find_settings_file(ctx.options.gateway_config or None, os.environ)
            self._apply(load_settings(self._path, os.environ, own_listeners=self._own_listeners()))
        except SettingsError as error:
            for problem in error.problems:
                logger.error("%s", problem)

    def _apply(self, settings: Settings) -> None:
        self._current.value = settings
        self._terminal.apply(settings.log)

    def _listen(self, settings: Settings) -> None:
        """Serve as a reverse proxy where the settings say, unless the user said where on the command line."""
        if not ctx.options.server:
            return
        host = ctx.options.listen_host if ctx.options.has_changed("listen_host") else settings.listen.host
        port = ctx.options.listen_port if ctx.options.has_changed("listen_port") else settings.listen.port
        spec = mode_spec(Listen(host, port))
        if ctx.options.mode != [spec]:
            ctx.options.update(mode=[spec])

    def _make_safe(self) -> None:
        self._refuse_explicit()
        for name, safe in _safe_options():
            if not is_set(name) and getattr(ctx.options, name) != safe:
                ctx.options.update(**{name: safe})
        if "flow_detail" in ctx.options and not ctx.options.has_changed("flow_detail"):
            ctx.options.update(flow_detail=0)  # the access log takes its place; mitmdump's shows whole queries

    def _refuse_explicit(self) -> None:
        """An unsafe option that the user chose himself ends the start with an error, rather than being overruled."""
        for name, safe in _safe_options():
            if is_set(name) and getattr(ctx.options, name) != safe:
                found = getattr(ctx.options, name)
                logger.error("option %s=%s is unsafe for a gateway, which needs %s: remove it", name, found, safe)
        if is_set("mode") and not self._modes_are_safe():
            logger.error(
                "mode %s is not the gateway's: it serves as a reverse proxy by its own settings; remove --mode "
                "(where to listen is `listen` in the settings, or --listen-host and --listen-port)",
                " ".join(ctx.options.mode),
            )
        for name, instead in IGNORED_OPTIONS.items():
            if getattr(ctx.options, name):
                logger.warning("option %s is ignored: use `%s` in the settings", name, instead)

    def _refuse_unsafe(self, updated: set[str]) -> None:
        """While running, a change to something unsafe is turned down, and mitmproxy takes it back."""
        for name, safe in _safe_options():
            if name in updated and getattr(ctx.options, name) != safe:
                raise exceptions.OptionsError(f"{name} must stay {safe} while livegate runs.")
        if "mode" in updated and not self._modes_are_safe():
            raise exceptions.OptionsError("livegate serves as a reverse proxy only; where is set in its settings.")

    def _modes_are_safe(self) -> bool:
        return all(mode == MODE or mode.startswith(f"{MODE}@") for mode in ctx.options.mode)

    def _own_listeners(self) -> list[tuple[str, int]]:
        """Where this process listens besides `listen` of the settings: no backend may be there."""
        own: list[tuple[str, int]] = []
        if "web_port" in ctx.options:
            own.append((ctx.options.web_host, ctx.options.web_port))
        if ctx.options.has_changed("listen_port"):
            own.append((ctx.options.listen_host, ctx.options.listen_port))
        return own

    def _watched(self) -> frozenset[Path]:
        return self._current.value.watched

    def _turn_out_strangers(self) -> None:
        """End connections that came in before the gateway did, by mitmproxy's start in its default mode."""
        proxyserver = ctx.master.addons.get("proxyserver")
        for each in list(proxyserver.connections.values()) if proxyserver else ():
            if not isinstance(each.client.proxy_mode, ReverseMode):
                close_client(each.client)

    def _keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task until it ends (the loop itself holds it only weakly)."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

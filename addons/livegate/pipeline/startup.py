"""Loads the settings, keeps them current (file changes, SIGHUP), and makes mitmproxy listen where they say."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from livegate import mitm
from livegate.logs.terminal import Terminal
from livegate.mitm import decoding_limits, fast_validation, hook_table
from livegate.mitm.layers import handler
from livegate.mitm.proxyserver import close_client, prepare_certificate_store
from livegate.pipeline.reverse_mode import is_reverse, mode_spec
from livegate.redaction.content_coding import decode
from livegate.settings import CurrentSettings, Listen, Settings, SettingsError, find_settings_file, load_settings, watch
from livegate.tasks import retain

logger = logging.getLogger(__name__)


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal that still exists."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Startup:
    """Install the adapters to mitmproxy, load the settings, and reload them."""

    def __init__(self, current: CurrentSettings, terminal: Terminal) -> None:
        self._current = current
        self._terminal = terminal
        self._path: Path | None = None
        self._running = False
        self._has_terminal = has_terminal()
        self._stopped = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.on_reload: list[Callable[[bool], None]] = []
        """Observers of reloads, called with whether the reload succeeded."""

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
        _close_early_connections()
        if not mitm.INCOMPATIBILITIES:
            hook_table.install(ctx.master.addons)
            handler.install()
            fast_validation.install()
            decoding_limits.install(decode)

    def configure(self, updated: set[str]) -> None:
        if "gateway_config" in updated:
            self._load_settings()

    def running(self) -> None:
        if not self._current.loaded and self._path is None:
            self._load_settings()
        if not self._current.loaded:
            return  # the problems are logged as errors, so mitmproxy ends with status 1
        if mitm.INCOMPATIBILITIES:
            logger.warning(
                "this version of mitmproxy is unknown to livegate, which runs on its stock layers: no limits on "
                "request heads, no backend time limits, no limits on WebSockets, a lost backend looks like a clean "
                "close, and mitmproxy stores and shows secrets unredacted (%s)",
                "; ".join(mitm.INCOMPATIBILITIES),
            )
        self._running = True
        self._listen(self._current.value)
        _close_early_connections()
        loop = asyncio.get_running_loop()
        self._handle_sighup(loop)
        if self._path is not None:
            watching = watch(self._path, lambda: self._current.value.watched, self.reload, self._stopped)
            self._watching = loop.create_task(watching, name="livegate settings watch")
        prepare_certificate_store()
        loop.call_soon(self._current.ready.set)

    def done(self) -> None:
        self._stopped.set()
        if self._watching is not None:
            self._watching.cancel()
        if self._running and hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        if not ctx.master.should_exit.is_set():  # the script is unloaded, but the process continues
            fast_validation.uninstall()
            decoding_limits.uninstall()
            handler.uninstall()
            hook_table.uninstall(ctx.master.addons)

    def reload(self) -> None:
        """Start a reload of the settings. If they have problems, the old ones stay in force."""
        retain(asyncio.get_running_loop().create_task(self._reload(), name="livegate settings reload"))

    def _handle_sighup(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle SIGHUP, except in mitmproxy's console, which cannot continue without its terminal."""
        in_console = ctx.master.addons.get("termlog") is None
        if hasattr(signal, "SIGHUP") and not in_console:
            loop.add_signal_handler(signal.SIGHUP, self._on_sighup)

    def _on_sighup(self) -> None:
        """Reload, as servers do. If SIGHUP came because the terminal was closed, shut down, as other programs do."""
        if self._has_terminal and not has_terminal():
            ctx.master.shutdown()
        else:
            self.reload()

    async def _reload(self) -> None:
        try:
            settings = await asyncio.to_thread(load_settings, self._path, os.environ, own_listeners=_own_listeners())
        except SettingsError as error:
            _log_problems(error)
            logger.error("settings not reloaded, the old ones stay in force; problems: %d", len(error.problems))
            self._notify(success=False)
            return
        if self._stopped.is_set():
            return
        self._apply(settings)
        self._listen(settings)
        logger.info("settings reloaded, services: %d", len(settings.services))
        self._notify(success=True)

    def _notify(self, *, success: bool) -> None:
        for observer in self.on_reload:
            observer(success)

    def _load_settings(self) -> None:
        try:
            self._path = find_settings_file(ctx.options.gateway_config or None, os.environ)
            self._apply(load_settings(self._path, os.environ, own_listeners=_own_listeners()))
        except SettingsError as error:
            _log_problems(error)

    def _apply(self, settings: Settings) -> None:
        self._current.value = settings
        self._terminal.apply(settings.log)

    def _listen(self, settings: Settings) -> None:
        """Listen where the settings say. --listen-host and --listen-port take precedence."""
        if not ctx.options.server:
            return
        host = ctx.options.listen_host if ctx.options.has_changed("listen_host") else settings.listen.host
        port = ctx.options.listen_port if ctx.options.has_changed("listen_port") else settings.listen.port
        spec = mode_spec(Listen(host, port))
        if ctx.options.mode != [spec]:
            ctx.options.update(mode=[spec])


def _log_problems(error: SettingsError) -> None:
    for problem in error.problems:
        logger.error("%s", problem)


def _own_listeners() -> list[tuple[str, int]]:
    """Return the process's listeners besides the settings' own, because no backend may be there."""
    own: list[tuple[str, int]] = []
    if "web_port" in ctx.options:
        own.append((ctx.options.web_host, ctx.options.web_port))
    if ctx.options.has_changed("listen_port"):
        own.append((ctx.options.listen_host, ctx.options.listen_port))
    return own


def _close_early_connections() -> None:
    """Close connections accepted before the gateway started, because mitmproxy listens in its default mode first."""
    proxyserver = ctx.master.addons.get("proxyserver")
    for each in list(proxyserver.connections.values()) if proxyserver else ():
        if not is_reverse(each.client):
            close_client(each.client)

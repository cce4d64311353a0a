"""`livegate top`: polls a gateway and redraws the screen. Called by `cli.app`."""

import contextlib
import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TextIO

from rich.console import Console
from rich.live import Live

from livegate.cli.top.client import Client, RejectedError, Snapshot, UnavailableError
from livegate.cli.top.view import SORTS, State, screen

REFRESH_S = 0.2
"""Interval in which keys and the size of the terminal are read."""


class Poller:
    """Thread that fetches snapshots, so that keys work while a gateway does not respond."""

    def __init__(self, fetch: Callable[[], Snapshot], every_s: float) -> None:
        self.snapshot: Snapshot | None = None
        self.problem = ""
        self.rejected: RejectedError | None = None
        """Set when a retry cannot succeed; the thread has then ended."""
        self._fetch = fetch
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livegate top", daemon=True)

    def start(self) -> None:
        """Start to fetch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current request, without waiting for it."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.snapshot, self.problem = self._fetch(), ""
            except UnavailableError as error:
                self.problem = str(error) or "no response"
            except RejectedError as error:
                self.rejected = error
                return
            self._stop.wait(self._every_s)


def once(client: Client, console: Console) -> None:
    """Print the screen at full length. Raises UnavailableError and RejectedError."""
    state = State(client.url, time.time(), client.fetch(), keys=False)
    console.print(screen(state, console.width, None))


def watch(client: Client, console: Console, every_s: float, keyboard: TextIO) -> None:
    """Show the screen until q or Ctrl-C. Raises RejectedError."""
    poller = Poller(client.fetch, every_s)
    poller.start()
    try:
        with key_reader(keyboard) as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
            _show(poller, State(client.url, time.time()), pressed, live)
    except KeyboardInterrupt:
        return
    finally:
        poller.stop()


def _show(poller: Poller, state: State, pressed: Callable[[float], str], live: Live) -> None:
    shown: object = None
    while True:
        if poller.rejected is not None:
            raise poller.rejected
        state = replace(state, now=time.time(), snapshot=poller.snapshot, problem=poller.problem)
        size = live.console.size
        current = (state.snapshot, state.problem, state.sort, size, int(state.now))
        if current != shown:
            live.update(screen(state, size.width, size.height), refresh=True)
            shown = current
        key = pressed(REFRESH_S)
        if key in ("q", "Q", "\x03", "\x04"):
            return
        if key in ("s", "S"):
            state = replace(state, sort=SORTS[(SORTS.index(state.sort) + 1) % len(SORTS)])


@contextlib.contextmanager
def key_reader(keyboard: TextIO) -> Iterator[Callable[[float], str]]:
    """Yield a function that waits for a key for some seconds; without a terminal it only waits."""
    if sys.platform == "win32":
        yield _sleep
        return
    import termios
    import tty

    try:
        descriptor = keyboard.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield _sleep
        return

    def pressed(seconds: float) -> str:
        if not select.select([descriptor], [], [], seconds)[0]:
            return ""
        return os.read(descriptor, 1).decode("latin-1") or "q"  # end of file: the terminal was closed

    tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def run(client: Client, *, only_once: bool, every_s: float) -> str:
    """Run the command; return an error message, or an empty string."""
    console = Console(highlight=False)
    try:
        if only_once or not console.is_terminal:
            once(client, console)
        else:
            watch(client, console, every_s, sys.stdin)
    except RejectedError as problem:
        return str(problem)
    except UnavailableError as problem:
        return f"no connection to {client.url}: {problem}; is the gateway running, with `admin` in its settings?"
    return ""

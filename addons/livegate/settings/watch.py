"""Watches the settings file and the files that it names for changes; `Startup` runs it as a task."""

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 200


async def watch(
    settings_path: Path,
    watched: Callable[[], Iterable[Path]],
    on_change: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    """Call `on_change` whenever the content of the settings file or of one of `watched()` has changed.

    Watches folders in place of files, because editors rename a new file into place and Kubernetes swaps a link. Returns
    when `stop` is set.
    """
    digest = _digest({settings_path, *watched()})
    while not stop.is_set():
        files = {settings_path, *watched()}
        folders = _folders(files)
        async for _ in awatch(*folders, stop_event=stop, debounce=DEBOUNCE_MS, recursive=False, rust_timeout=1000):
            files = {settings_path, *watched()}
            now = _digest(files)
            if now != digest:
                digest = now
                on_change()
            if _folders(files) != folders:
                break


def _folders(files: Iterable[Path]) -> set[Path]:
    """Return the existing folders of the files as named, and of the files that they link to."""
    folders = {folder for file in files for folder in (file.absolute().parent, file.resolve().parent)}
    return {folder for folder in folders if folder.is_dir()}


def _digest(files: Iterable[Path]) -> bytes:
    digest = hashlib.blake2b()
    for file in sorted(files):
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        digest.update(len(content).to_bytes(8) + content)
    return digest.digest()

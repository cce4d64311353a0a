"""A LiveView app and an echo app for trying the gateway, each a process of its own; started by `livegate demo`."""

import importlib.util

REQUIRED = ("pyview", "uvicorn", "websockets")


class DemoUnavailableError(Exception):
    """The demo cannot run; the message says what happened and what to do."""


def require() -> None:
    """Check that the demo's libraries are installed, without importing them. Raises DemoUnavailableError."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"{', '.join(missing)} not installed: pip install 'livegate[demo]'"
        raise DemoUnavailableError(msg)

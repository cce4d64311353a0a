"""Demo apps for trying the gateway: a LiveView app and an echo app, each in its own process; imports no other package.

Started by `livegate demo`. To add a page, add its view to `views` and its template to `pages`.
"""

import importlib.util

REQUIRED = ("pyview", "uvicorn", "websockets")


class DemoUnavailableError(Exception):
    """The demo cannot run. The message says why, and what to do."""


def require() -> None:
    """Check that the demo's libraries are installed, without importing them. Raises DemoUnavailableError."""
    missing = [name for name in REQUIRED if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"{', '.join(missing)} not installed: pip install 'livegate[demo]'"
        raise DemoUnavailableError(msg)

"""Settings: reads `gateway.yaml` and the environment into immutable values, and notices when the file changes.

May import nothing else of livegate. Other packages import from this module, not from the ones below.

To add a setting:

1. Add the key to its section in `schema.py`, with its default as it would stand in the file, and its description.
2. If it depends on other keys or names a file, check it in `build.py`.
3. Run `make docs`, which writes `configs/gateway.schema.json` and `docs/reference/settings.md`, and add a
   commented line to `configs/gateway.yaml`.
4. Test it in `tests/unit/settings/test_load.py`, with one problem that its wrong value causes.
"""

from livegate.settings.addresses import Backend, Listen, origin
from livegate.settings.build import route_table
from livegate.settings.current import CurrentSettings
from livegate.settings.host_table import HostTable
from livegate.settings.load import find_settings_file, load_settings
from livegate.settings.model import Certificate, ClientTls, Service, Settings, public_values
from livegate.settings.problems import Problem, SettingsError
from livegate.settings.schema import (
    Admin,
    BackendTls,
    FlowHistoryLimits,
    FrameLog,
    FrameRateLimit,
    Inspect,
    Limits,
    Log,
    MaxConnections,
    MessageHistoryLimits,
    Payloads,
    RateLimits,
    Timeouts,
    TracingSettings,
    WebSocketLimits,
    json_schema,
)
from livegate.settings.units import Rate
from livegate.settings.watch import watch

__all__ = [
    "Admin",
    "Backend",
    "BackendTls",
    "Certificate",
    "ClientTls",
    "CurrentSettings",
    "FlowHistoryLimits",
    "FrameLog",
    "FrameRateLimit",
    "HostTable",
    "Inspect",
    "Limits",
    "Listen",
    "Log",
    "MaxConnections",
    "MessageHistoryLimits",
    "Payloads",
    "Problem",
    "Rate",
    "RateLimits",
    "Service",
    "Settings",
    "SettingsError",
    "Timeouts",
    "TracingSettings",
    "WebSocketLimits",
    "find_settings_file",
    "json_schema",
    "load_settings",
    "origin",
    "public_values",
    "route_table",
    "watch",
]

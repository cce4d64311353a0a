"""The settings of the gateway: `configs/gateway.yaml` and the environment, checked, frozen, reloadable."""

from livegate.settings.addresses import origin
from livegate.settings.build import route_table
from livegate.settings.current import CurrentSettings
from livegate.settings.host_table import Routes
from livegate.settings.load import find_settings_file, load_settings
from livegate.settings.model import (
    Admin,
    Backend,
    BackendTls,
    Certificate,
    ClientTls,
    FlowHistory,
    FrameLog,
    FrameRateLimit,
    Inspect,
    Limits,
    Listen,
    Log,
    MaxConnections,
    MessageHistory,
    Payloads,
    RateLimits,
    Service,
    Settings,
    Timeouts,
    Tracing,
    WebSocketLimits,
)
from livegate.settings.problems import Problem, SettingsError
from livegate.settings.schema import json_schema
from livegate.settings.units import Rate
from livegate.settings.watch import watch

__all__ = [
    "Admin",
    "Backend",
    "BackendTls",
    "Certificate",
    "ClientTls",
    "CurrentSettings",
    "FlowHistory",
    "FrameLog",
    "FrameRateLimit",
    "Inspect",
    "Limits",
    "Listen",
    "Log",
    "MaxConnections",
    "MessageHistory",
    "Payloads",
    "Problem",
    "Rate",
    "RateLimits",
    "Routes",
    "Service",
    "Settings",
    "SettingsError",
    "Timeouts",
    "Tracing",
    "WebSocketLimits",
    "find_settings_file",
    "json_schema",
    "load_settings",
    "origin",
    "route_table",
    "watch",
]

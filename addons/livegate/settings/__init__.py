"""The settings of the gateway: `configs/gateway.yaml` and the environment, checked, frozen, reloadable."""

from livegate.settings.addresses import Backend, Listen, origin
from livegate.settings.build import route_table
from livegate.settings.current import CurrentSettings
from livegate.settings.host_table import HostTable
from livegate.settings.load import find_settings_file, load_settings
from livegate.settings.model import (
    Admin,
    BackendTls,
    Certificate,
    ClientTls,
    FlowHistory,
    FrameLog,
    FrameRateLimit,
    Inspect,
    Limits,
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
    public_values,
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
    "HostTable",
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
    "public_values",
    "route_table",
    "watch",
]

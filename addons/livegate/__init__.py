"""livegate: a staging gateway and debugger for WebSocket applications, made of mitmproxy addons."""

__version__ = "0.1.0"

"""Data plane on subclasses of mitmproxy's layers, until `proxy` has its own."""

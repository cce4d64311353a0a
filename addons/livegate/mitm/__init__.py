"""The only door to mitmproxy's private parts: its HTTP and WebSocket layers, subclassed, with a shape check at import.

Where the shape does not fit, the gateway runs on mitmproxy's own layers: `Transport` leaves them in place and `Startup`
says once what is lost (time limits, bounded heads, own error answers for broken backends, 1006 for a lost backend).
"""

from livegate.mitm.compat import problems

INCOMPATIBILITIES: tuple[str, ...] = tuple(problems())
"""What is not as expected in the installed mitmproxy; empty when everything fits."""

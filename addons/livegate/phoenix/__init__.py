"""Phoenix channels and LiveView as a library without I/O: frames in, sessions, pages and incidents out.

- `frames`, `longpoll`, `tokens`, `etf`, `page_html`: the wire formats, each on its own.
- `rendered`: the tree of one LiveView.
- `model`, `incidents`, `sessions`: what the frames of a browser tab mean; `sessions.tracker` is the entry.

Imports nothing of livegate but `redaction.printable` (through `formatting`), and neither mitmproxy nor asyncio. Every
input is untrusted: nothing raises because of it but where a docstring says so, and every table has a bound.
To add a frame type: its kind in `sessions.pushes` or `sessions.socket`, its summary in `sessions.frame_info`.
"""

"""Phoenix channels and LiveView as a library without I/O: frames in, sessions, pages and incidents out.

- `frames`, `longpoll`, `tokens`, `etf`, `page_html`: the wire formats, each on its own.
- `rendered`: the tree of one LiveView.
- `model`, `incidents`, `sessions`: what the frames of a browser tab mean; `sessions.tracker` is the entry.

May import `redaction.printable` and `lenient_json`; neither mitmproxy nor asyncio. Every input is untrusted: functions
raise because of it only where their docstring says so, and every table has a bound.
To add a frame type: its kind in `sessions.pushes` or `sessions.socket`, its summary in `sessions.frame_info`.
"""

"""LiveView for people: decodes Phoenix traffic on flows, for mitmweb, the console, the terminal and the frame log.

It works without the gateway. Imports `phoenix`, `redaction`, `logs`, `mitm`, `settings` and `tasks`. `recorder.py`
feeds flows to the tracker and notifies listeners: a new view of the traffic appends itself to `Recorder.on_frame`,
`on_exchange` or `on_incident`, and is an addon of its own in `livegate.addons`.
"""

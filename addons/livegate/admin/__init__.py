"""Serves operators: HTTP API, live feed and page, on the admin listener and in mitmweb.

May import `observe` and everything below it; only `livegate.addons` and `cli` import it. The listener runs in a thread
of its own, so everything that reads the gateway's state goes through `loop_bridge.LoopBridge`.

To add a resource: write its body in `bodies.py`, its query in `state.py`, a handler in `api.py` with an entry in
`RESOURCES`, and run `make docs`. To add a module of the page: list it in `session_export.MODULES` after its imports.
"""

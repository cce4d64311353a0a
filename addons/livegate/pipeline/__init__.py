"""The gateway's decisions about a request: one addon class per file, listed in order in `livegate.addons`.

May import everything below it (mitm, proxy, websocket, logs, settings, http1, redaction), and of `phoenix` only what
recognizes a long-poll request. Imports neither `inspect` nor `observe`. Helpers of the addons are in `exchange/`,
`fields/` and `ratelimit/`.

To add an addon: write a class with its hooks at the top, start each hook with `awaiting_backend(flow)`, wrap each hook
that decides with `fail_closed`, refuse with `exchange.responses.refuse`, and list the class in `livegate.addons`.
"""

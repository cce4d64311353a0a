"""Contract between the data plane and the gateway (`policy`), and TLS contexts.

May import `settings`, `http1`, `websocket` and `logs`, and no private part of mitmproxy. Add a decision of the gateway
as a method of `ProxyPolicy` with plain values; `pipeline.policy` implements it.
"""

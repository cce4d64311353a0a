"""The only package that uses mitmproxy's private parts; `compat` checks at import that they fit.

May import `proxy`, `websocket`, `http1`, `logs` and `tasks`. With an unknown mitmproxy the gateway runs on the stock
layers and `Startup` logs what is lost. List every private name that a new module uses in `compat`.
"""

from livegate.mitm.compat import problems

INCOMPATIBILITIES: tuple[str, ...] = tuple(problems())
"""Differences of the installed mitmproxy; empty when everything fits."""

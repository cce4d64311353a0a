"""RFC 6455 as a library (codec, deflate, close codes), and the relay between two transports.

May import `settings`, `http1`, `logs` and `tasks`. No module does I/O: bytes arrive in `peer.Peer`, and leave through
a `transport.PeerTransport`. Add a limit in `peer` (per message) or `relay` (per socket), with a close code for it.
"""

"""The gateway on mitmproxy's own layers, until `proxy` carries the bytes itself."""

"""The data plane: what it asks of the gateway, and its TLS."""

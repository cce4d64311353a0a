"""What a WebSocket meets in the gateway: codec and relay (sans-io), the session around them, its bounds and history."""

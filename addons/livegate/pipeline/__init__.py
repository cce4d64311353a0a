"""What a request meets on its way through the gateway: one addon class a file, in the order of `addons/gateway.py`."""

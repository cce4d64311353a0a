"""Metrics, traces, history and causes of what goes through the gateway."""

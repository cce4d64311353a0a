"""Measures the gateway side by side with other proxies: `python -m tests.bench --help`."""

"""Leaves the gateway under load for a while, and looks whether it stays as it was: `python -m tests.bench.soak --help`."""

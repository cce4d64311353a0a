"""Observation: metrics, traces, history and causes. May import `pipeline`, `inspect` and below, never `admin`.

These addons never change a flow. To add a metric, add it to `metrics.instruments` and docs/reference/metrics.md; to add
a cause, see `causes`.
"""

"""Prometheus metrics.

To add one, declare it in `instruments`, count it in `addon`, and describe it in docs/reference/metrics.md. Its label
values come from bounded sets (`labels`).
"""

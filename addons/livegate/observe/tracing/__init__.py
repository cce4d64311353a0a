"""OpenTelemetry: `addon` feeds `spans`, which `exporter` and `otlp` send. docs/reference/tracing.md has each span.

Only `otlp` imports OpenTelemetry, which is an optional dependency.
"""

"""OpenTelemetry: trace context, spans and their export."""

"""Header fields that the gateway writes for backends: forwarding and trace context, and their description in the log.

Pure functions of field values, used by `pipeline.headers`; `observe.tracing` shares the trace context.
"""

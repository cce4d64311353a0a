"""The log: every line is redacted, throttled, formatted and written without blocking. Imports `redaction` only.

`handler.py` sees each line first; `terminal.py` formats it; `output.py` writes it. A new field of JSON lines goes into
`terminal.JsonLines.line` and docs/reference/logs.md.
"""

"""The log: every line is redacted, throttled, formatted and written without blocking. Imports `redaction` only.

`handler.py` sees each line first; `terminal.py` selects text or JSON, `json_lines.py` formats JSON;
`nonblocking_output.py` writes. A new field goes into `json_lines.JsonLines.line` and docs/reference/logs.md.
"""

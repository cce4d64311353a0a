"""Incidents: failures that a user of a LiveView notices, found in its frames.

`detection` finds them, `catalog` describes them, `log` numbers and reports them. To add one: a slug and a function in
`catalog`, a call in `detection`, a row in docs/reference/causes.md.
"""

"""One request: its record, the gateway's own responses to it, and the classification of its failures.

Used by every addon of `pipeline`, and by `observe` and `admin` to read the record. May import no addon.
"""

"""Rendered trees: the page of one LiveView from its join and its diffs, as phoenix_live_view's rendered.js builds it.

`tree` is the entry; `merge` applies a diff, `html` writes the page, `changes` lists what a diff changed. Tested
against the genuine client, LiveView 0.18 to 1.2 (tests/oracle). A new key of the wire format belongs in `nodes`, its
merging in `merge`.
"""

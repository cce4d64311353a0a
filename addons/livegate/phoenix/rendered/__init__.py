"""Rendered trees: the page of a LiveView from its join and its diffs."""

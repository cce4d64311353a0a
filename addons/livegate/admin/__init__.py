"""The admin listener: HTTP API, live feed, and the page for operators."""

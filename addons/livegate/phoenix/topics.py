"""Topics of LiveView's channels, as phoenix_live_view.js names them."""

LIVE_TOPIC = "lv:"
"""Prefix of a LiveView's channel; the id of its element follows."""
RANDOM_TOPIC = "lv:phx-"
"""Prefix for a root view without an id of its own: LiveView makes up a random one for each page load."""
UPLOAD_TOPIC = "lvu:"
"""Prefix of an upload's channel; the ref of the upload entry follows."""


def is_live(topic: str) -> bool:
    """Return whether a topic is a LiveView's. The client leaves `lv:` itself for an element that never was a view."""
    return topic.startswith(LIVE_TOPIC) and topic != LIVE_TOPIC

"""Sessions: what the frames of a tab mean, and the tab that a socket belongs to."""

"""The frame log: one JSON line a frame."""

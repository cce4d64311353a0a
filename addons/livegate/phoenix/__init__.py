"""Phoenix channels and LiveView as a library: frames, long-poll, tokens, rendered trees, sessions."""

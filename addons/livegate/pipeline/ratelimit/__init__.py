"""The arithmetic and the store of rate limits."""

"""Rate limiting: sliding windows, their storage, keys, and quotas checked together. Used by `pipeline.rate_limiter`.

May import `settings`. Another storage is a class of the `limits` library with sliding window counters.
"""

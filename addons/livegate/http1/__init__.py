"""HTTP/1 as a library: which request heads are refused, and refusals as values."""

"""Recorded traffic read from files: frame logs, flow files, HAR."""

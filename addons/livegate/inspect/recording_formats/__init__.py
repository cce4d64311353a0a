"""Readers of recorded traffic for `livegate read`: frame logs, flow files, HAR.

A new format gets a module that yields the lines of a frame log, and a branch in `reader._lines`.
"""

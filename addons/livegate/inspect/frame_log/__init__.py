"""Frame log: one JSON line per frame. A new field goes into `writer.frame_line` and docs/reference/frame-log.md."""

"""Sessions, recorded frames, incidents and stylesheets, kept for a while for operators."""

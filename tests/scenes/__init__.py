"""Recorded sessions of genuine Phoenix apps, played again: `recording` reads them, `in_process` feeds them to the inspector."""

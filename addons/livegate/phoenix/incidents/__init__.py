"""Incidents: failures that a user of a LiveView notices, found in its frames."""

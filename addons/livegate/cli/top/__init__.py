"""`livegate top`: client, layout, and the loop that reads keys."""

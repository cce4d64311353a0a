"""The gateway's log: whom a line is about, what may not stand in it, how many of a kind there are, and its form."""

"""`livegate top`: the gateway at a glance in a terminal."""

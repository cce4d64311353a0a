"""What a person sees of the traffic: sentences, page trees, the frame log, commands; and what nobody shall see."""

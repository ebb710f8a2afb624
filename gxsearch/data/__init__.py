"""Floor 1: what an example is."""

"""Floor 4: reads what a run left behind; needs no Ray."""

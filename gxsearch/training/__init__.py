"""Floor 3: epochs of one model, anywhere; nothing here knows Ray."""

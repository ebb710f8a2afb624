"""Floor 1: layers, distributions and schedules shared by the models."""

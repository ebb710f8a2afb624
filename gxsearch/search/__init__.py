"""Floor 4: draws trials, runs them on Ray, stops them early."""

"""One answer about a whole series, by a model that sees all its slices at once."""

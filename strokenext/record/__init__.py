"""A model folder: where it is found, its record, and verified weights."""

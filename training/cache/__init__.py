"""Slices decoded and framed once, in one memory-mapped array."""

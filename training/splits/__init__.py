"""A manifest to the parts of a split, and what must not leak between them."""

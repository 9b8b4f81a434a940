"""One answer per slice, pooled over a series, and the cascade of the two questions."""

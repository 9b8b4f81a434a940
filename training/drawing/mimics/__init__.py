"""What looks like a stroke and is none: drawn into examples of every class, so that it tells nothing."""

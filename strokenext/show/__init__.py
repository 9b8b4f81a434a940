"""An answer as words and as a report to take away."""

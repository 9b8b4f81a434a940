"""Whether a checkpoint's heat maps mean anything, on slices with lesion masks."""

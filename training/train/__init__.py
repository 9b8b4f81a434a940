"""The training loop with its recipe, feeds, schedule, processes and run folder."""

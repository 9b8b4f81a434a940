"""Plans of models and protocols, run cell by cell; the benchmark of every model."""

"""The stages that ask the table of systems: cache, train, finish and evaluate."""

"""The pixel contract: from a slice or series to a model's input, the same for training, evaluation and the page."""

"""The page: widgets, actions, sentences, viewer and what the reader takes away."""

"""Result files read together: the tree, gaps, coverage and what they come to."""

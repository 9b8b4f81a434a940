"""Measures of predictions with their intervals, and the result file that holds them."""

"""Measures: one file a measure of a single answer, and `summaries`, which gives them values with intervals."""

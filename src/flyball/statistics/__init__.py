"""Intervals, paired tests, anytime-valid sequences, multiplicity: pure functions of numbers, no libraries."""

"""Suites: one file a family of cases, and `loading`, which finds one by its name."""

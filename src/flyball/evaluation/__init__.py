"""Evaluation: what a release answers on its suites, through its engine, with intervals and per-item scores."""

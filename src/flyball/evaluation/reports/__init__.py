"""Evaluation reports: what they show, and their files."""

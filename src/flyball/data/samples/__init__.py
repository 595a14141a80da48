"""Seeded sample rows and questions of our own for demo, tests and first steps."""

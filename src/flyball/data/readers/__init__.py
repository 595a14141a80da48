"""Readers of sources: one module a format, all behind `reading.read_source`."""

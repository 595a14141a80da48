"""Readers of sources: one module a format (`catalog`), all behind `source_rows.read_source`."""

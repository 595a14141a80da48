"""How a ledger of any earlier version reaches the shape in tables.py: one file per step, both ways.

A test compares the outcome with tables.py; `schema.HEAD` names the newest step.
"""

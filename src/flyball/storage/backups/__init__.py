"""Backups: objects named by their hash, the rows of a ledger as such objects, and manifests that list them."""

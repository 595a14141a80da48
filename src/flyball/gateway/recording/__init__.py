"""Every answer on disk before its last byte, and from there into the ledger."""

"""The web face: pages rendered on the server, read from the ledger, bound to this machine alone."""

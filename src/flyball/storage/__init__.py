"""Where records and artefacts live: the ledger (SQLite or PostgreSQL) and the artefact store."""

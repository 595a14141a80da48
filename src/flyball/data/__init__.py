"""From raw files to a DatasetVersion: read, clean, redact, deduplicate, validate, split; every reason is kept."""

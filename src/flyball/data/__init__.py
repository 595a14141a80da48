"""From raw files to a DatasetVersion: read, clean, redact, deduplicate, validate, split, write, with every reason kept."""

"""One person's rows found and taken out: of sources, of dataset folders, of stored objects."""

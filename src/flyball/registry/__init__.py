"""The registry: packages models for engines, composes releases, and walks the lineage of everything."""

"""Child processes kept alive, and what a running project says of itself."""

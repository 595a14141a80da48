"""One verb per file: what a command or a trigger does, end to end."""

"""Personal data in texts: what is recognised, and what replaces it."""

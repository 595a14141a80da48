"""What was promised to people and authorities: erasure, export, retention, cards, and a search that proves it."""

"""What a request was and what came of it: local roots, outcome."""

"""Many processes, one service: where each counts, how each reads the others."""

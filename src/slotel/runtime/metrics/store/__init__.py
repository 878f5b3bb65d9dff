"""The store: counts in cells, exact and bounded, in memory or in a mapped file."""

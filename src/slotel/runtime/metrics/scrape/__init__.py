"""The scrape: one merged answer for all workers."""

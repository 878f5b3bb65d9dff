"""Counts and serves metrics: span metrics, the store, worker files, the scrape, instruments."""

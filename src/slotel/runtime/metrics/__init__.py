"""What is counted and how it is served: span metrics, the store, worker files, the scrape, instruments."""

"""The transport: one bounded queue, one sender thread, retries and rate limits."""

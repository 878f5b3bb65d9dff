"""Error events: captured as sentry-sdk does, linked to the request that failed."""

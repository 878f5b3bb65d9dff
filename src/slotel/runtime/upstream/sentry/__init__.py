"""sentry-sdk, 2 and 3."""

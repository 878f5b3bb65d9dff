"""The Sentry client: slotel's own or the app's, its options and hooks."""

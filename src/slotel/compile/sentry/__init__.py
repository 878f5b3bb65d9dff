"""Alert rules and a dashboard for Sentry's API."""

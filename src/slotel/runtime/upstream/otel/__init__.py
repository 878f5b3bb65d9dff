"""OpenTelemetry's API, SDK and instrumentations."""

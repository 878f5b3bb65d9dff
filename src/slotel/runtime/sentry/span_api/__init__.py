"""sentry-sdk's own span API, on spans of OpenTelemetry."""

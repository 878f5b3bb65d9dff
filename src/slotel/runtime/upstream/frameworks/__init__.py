"""Web frameworks: what OpenTelemetry does not instrument of them, their routes, and what they do with exceptions."""

"""The OpenTelemetry instruments of apps and frameworks, and the store's numbers by OTLP."""

"""The policy of services as configuration of the OpenTelemetry Collector."""

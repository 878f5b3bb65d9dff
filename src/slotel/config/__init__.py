"""The configuration: objectives, tags and the service as values. No clock, no I/O, no SDK."""

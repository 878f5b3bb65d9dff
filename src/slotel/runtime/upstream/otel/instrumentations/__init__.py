"""OpenTelemetry's instrumentations: which are installed and active, faults of theirs, and work that they do twice."""

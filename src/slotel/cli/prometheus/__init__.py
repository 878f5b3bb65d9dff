"""Asks a Prometheus server for commands: queries, its state, its rules."""

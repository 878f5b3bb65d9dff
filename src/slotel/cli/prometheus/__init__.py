"""What commands ask a Prometheus server: queries, its state, its rules."""

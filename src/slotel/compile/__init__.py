"""What is generated from a service: rules, their tests, dashboards, collector policy."""

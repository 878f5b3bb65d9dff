"""Generates files from a service: rules, their tests, dashboards, collector policy."""

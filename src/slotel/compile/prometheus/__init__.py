"""Prometheus' rules, alerts and their tests, and an example for Alertmanager."""

"""Requests and their outcomes: local roots, decisions."""

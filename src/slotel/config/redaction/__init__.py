"""Defines what counts as a secret, and a service's choices: data and patterns. Pure."""

"""Sentry: errors, transactions and their way out."""

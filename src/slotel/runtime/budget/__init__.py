"""The error budget, live: windows of good and bad events, what is breached, what is told."""

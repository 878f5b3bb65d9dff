"""Spans of slotel's own: the SDK's to everyone who asks, at a fraction of the cost."""

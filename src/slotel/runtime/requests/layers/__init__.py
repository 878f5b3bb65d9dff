"""The layers between servers and their applications: one for each protocol, and what they share."""

"""What counts as a secret, and what a service chooses of it: data and patterns. Pure."""

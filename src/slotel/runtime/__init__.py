"""The part of slotel that runs inside the service."""

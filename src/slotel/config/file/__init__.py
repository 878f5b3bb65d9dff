"""slotel.yaml as a file: its schema, and how its values are read and checked."""

"""What runs inside the service."""

"""The HTTP server of the endpoint: port, connections, TLS, access control."""

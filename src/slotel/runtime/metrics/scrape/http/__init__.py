"""The HTTP server of the endpoint: port, connections, TLS, who may ask. Knows nothing of metrics."""

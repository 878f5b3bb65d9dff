"""The status page at `/` of the metrics address: how the service is, at a glance. Reads everything, changes nothing."""

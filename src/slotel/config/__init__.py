"""The ground floor: what objectives, tags and a service are. No clock, no I/O, no SDK."""

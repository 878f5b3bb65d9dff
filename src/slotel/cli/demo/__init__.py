"""`slotel demo`: a sample service, a load, a Sentry that only listens, and what slotel makes of them."""

"""The modes of SLOTEL_SENTRY_MODE other than errors: which sink receives the spans."""

"""`slotel sink`: a local Sentry that shows what an app sends."""

"""slotel's own spans: they behave as the SDK's, at a fraction of the cost."""

"""Spans: recorded all, cheaply, and handed to the pipeline; which are open, and what a request's share."""

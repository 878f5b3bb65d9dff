"""Job queues: where a job runs, and what came of it."""

"""Job queues: which methods run a job, and what its outcome is."""

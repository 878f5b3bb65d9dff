"""Sets up the SDK and the instrumentations from the environment; an invalid value disables nothing else."""

"""The drop-in code API: ErrorTracker and friends, over the runtime."""

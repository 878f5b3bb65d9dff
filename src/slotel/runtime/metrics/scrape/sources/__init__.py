"""What is served beside slotel's own store: the app's instruments, its registry, the process."""

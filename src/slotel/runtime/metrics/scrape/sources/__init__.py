"""Further sources of `/metrics`, beside slotel's own store: the app's instruments, its registry, the process."""

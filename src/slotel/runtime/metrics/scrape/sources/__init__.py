"""Sources of `/metrics` other than slotel's store: the app's instruments, its registry, the process."""

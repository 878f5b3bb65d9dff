"""The life of a process: ticks, forks, signals, threads, shutdown."""

"""A process's life: ticks, forks, its end."""

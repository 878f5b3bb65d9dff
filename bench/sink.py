"""The sink as its own process: `python bench/sink.py --port 0` prints its port and DSN; GET /stats counts."""

from slotel.cli.sink.server import main

if __name__ == "__main__":
    raise SystemExit(main())

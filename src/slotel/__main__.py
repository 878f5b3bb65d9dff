"""`python -m slotel`."""

from slotel.cli import main

if __name__ == "__main__":
    main()

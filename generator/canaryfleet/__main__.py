"""`python -m canaryfleet`."""

from canaryfleet.cli import run

if __name__ == "__main__":
    run()

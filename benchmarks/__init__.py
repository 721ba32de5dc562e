"""The measured claims of canaryfleet: `python -m benchmarks`."""

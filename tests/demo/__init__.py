"""The quickstart on a real cluster, from nothing to checked predictions: `python -m tests.demo`, or `make demo`."""

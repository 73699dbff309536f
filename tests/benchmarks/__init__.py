"""Benchmarks on the real cluster: `python -m tests.benchmarks NAME`, or `make bench-NAME`."""

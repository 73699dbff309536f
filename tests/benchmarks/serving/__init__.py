"""The model server's speed beside others', on one core: `python -m tests.benchmarks serving`, `peers` and `soak`."""

"""Capture: sampled requests and predictions, and their labels, as Parquet in an object store."""

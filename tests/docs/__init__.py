"""The documentation: what of it is generated, and what tests hold it to."""

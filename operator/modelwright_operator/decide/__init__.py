"""Pure judgements: what was observed in, verdicts out. No clock, no I/O, no randomness."""

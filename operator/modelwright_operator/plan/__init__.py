"""Plans: a snapshot in, everything to be written out. Pure: no clock, no I/O, no randomness."""

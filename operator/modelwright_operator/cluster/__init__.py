"""Every byte of I/O, and the clock."""

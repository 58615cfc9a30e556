"""Faults of the device below a run that reads: what is broken, and what became of it."""

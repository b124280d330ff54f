"""Benchmarks: ratios against a peer in the same run, never absolute times. `python -m tests.bench [word]`."""

"""The proxy that `mpal start` runs, and its log."""

"""What `mpal inspect` shows of one call."""

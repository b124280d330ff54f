"""What `mpal` shows of calls and of the store."""

"""The `mpal` command line."""

"""The settings: one table, and their values from flags, environment variables and config.yaml."""

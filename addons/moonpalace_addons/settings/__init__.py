"""Settings: their definitions, and their values from flags, environment variables and config.yaml."""

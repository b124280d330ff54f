"""Visit every text of a call, to replace or to report sensitive data."""

"""Open a store on SQLite or PostgreSQL: files, permissions, sessions, schema version."""

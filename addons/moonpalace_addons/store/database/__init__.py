"""Opening a store on SQLite or PostgreSQL: files, permissions, sessions, the version of the schema."""

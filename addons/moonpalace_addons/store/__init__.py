"""The store: tables, migrations, the writer and the only SQL of the project."""

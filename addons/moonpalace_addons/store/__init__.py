"""The store: tables, migrations, the writer thread and the only SQL of the project."""

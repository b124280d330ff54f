"""Run the migrations on the connection that `store.database.engine` hands over."""

from alembic import context

# No URL, no logging set-up, no offline mode: the engine's connection and its transaction are all there is.
context.configure(connection=context.config.attributes["connection"])
context.run_migrations()

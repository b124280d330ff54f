"""Make the views `calls`, `messages` and `events`: `store.database.engine.migrate` does so after all migrations."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Change no table."""

"""Keep how the export of a run stands."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column("runs", sa.Column("export", sa.Text()))

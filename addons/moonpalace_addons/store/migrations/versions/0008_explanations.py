"""Keep explanations of calls, and the purpose of calls that MoonPalace makes for itself."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("exchanges", sa.Column("purpose", sa.Text()))
    owner = sa.ForeignKey("exchanges.id", ondelete="CASCADE")
    op.create_table(
        "explanations",
        sa.Column("exchange_id", ROW_ID, owner, primary_key=True, autoincrement=False),
        sa.Column("call_uuid", sa.String(36), primary_key=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("question", sa.Text()),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )

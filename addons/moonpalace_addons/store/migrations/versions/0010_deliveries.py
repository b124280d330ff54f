"""Keep where reports of calls were sent, and how far the rules that send them have looked."""

import sqlalchemy as sa
from alembic import op

from moonpalace_addons.store.schema import RowId

revision = "0010"
down_revision = "0009"

MOMENTS = ("first_at", "last_at", "created_at", "due_at", "changed_at")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "deliveries",
        sa.Column("id", RowId, primary_key=True, autoincrement=True),
        sa.Column("marker", sa.String(32), nullable=False),
        sa.Column("slot", sa.Text()),
        sa.Column("exchange_id", RowId, sa.ForeignKey("exchanges.id", ondelete="SET NULL")),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text()),
        sa.Column("likeness", sa.String(32)),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("kinds", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in MOMENTS),
        sa.Column("tried_at", sa.BigInteger()),
        sa.Column("address", sa.Text()),
        sa.Column("reason", sa.Text()),
    )
    op.create_index("deliveries_slot", "deliveries", ["slot"], unique=True)
    op.create_index("deliveries_exchange_id", "deliveries", ["exchange_id"])
    op.create_index("deliveries_state", "deliveries", ["state", "due_at"])
    op.create_index("deliveries_rule", "deliveries", ["rule", "tried_at"])
    op.create_table(
        "report_rules",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("looked_to", sa.BigInteger(), nullable=False),
        sa.Column("unfinished", sa.Text(), nullable=False),
    )

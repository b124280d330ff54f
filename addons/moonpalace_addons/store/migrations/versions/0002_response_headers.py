"""Headers of answers that many calls have alike are pieces, and the view puts them together."""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# The headers stand in the row, or in a piece with marks for what differs (`store.records.response_headers`).
RESPONSE_HEADER = """coalesce(e.response_headers, (
        SELECT replace(replace(replace(replace({text}, {character}(1), coalesce(e.response_date, '')),
            {character}(2), coalesce(e.msh_request_id, '')),
            {character}(3), coalesce(CAST(e.server_timing AS text), '')),
            {character}(4), coalesce(CAST(e.response_bytes AS text), ''))
        FROM parts p WHERE p.id = e.response_headers_part)) AS response_header"""

DIALECTS = {
    "sqlite": RESPONSE_HEADER.format(text="CAST(p.data AS TEXT)", character="char"),
    "postgresql": RESPONSE_HEADER.format(text="convert_from(p.data, 'UTF8')", character="chr"),
}


def upgrade() -> None:
    """Add the columns, and make the view anew; what is stored stays as it is."""
    first = import_module("moonpalace_addons.store.migrations.versions.0001_first")
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.execute("DROP VIEW moonshot_requests")
    op.add_column("exchanges", sa.Column("response_headers_part", row_id))
    op.add_column("exchanges", sa.Column("response_date", sa.Text()))
    dialect = op.get_context().dialect.name
    view = first.VIEW.format(**first.DIALECTS[dialect])
    op.execute(view.replace("e.response_headers AS response_header", DIALECTS[dialect]))

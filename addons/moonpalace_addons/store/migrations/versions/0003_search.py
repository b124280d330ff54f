"""Keep which words the calls have, block by block, for the search."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# A call that has ended changes only where its end was not the true one: a proxy was taken for dead, say.
SQLITE_TRIGGER = """
CREATE TRIGGER search_blocks_outdated AFTER UPDATE OF request_parts, response_parts ON exchanges
WHEN OLD.state <> 'in_flight' BEGIN DELETE FROM search_blocks WHERE block = OLD.id >> 6; END
"""
POSTGRESQL_FUNCTION = """
CREATE FUNCTION moonpalace_search_outdated() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
    DELETE FROM search_blocks WHERE block = OLD.id >> 6;
    RETURN NULL;
END
$function$
"""
POSTGRESQL_TRIGGER = """
CREATE TRIGGER search_blocks_outdated AFTER UPDATE OF request_parts, response_parts ON exchanges
FOR EACH ROW WHEN (OLD.state <> 'in_flight') EXECUTE FUNCTION moonpalace_search_outdated()
"""


def upgrade() -> None:
    """Create the table and what keeps it true."""
    op.create_table(
        "search_blocks",
        sa.Column("block", ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(SQLITE_TRIGGER)
        return
    # Half of the bits are set: to try to compress that is in vain.
    op.execute("ALTER TABLE search_blocks ALTER COLUMN words SET STORAGE EXTERNAL")
    op.execute(POSTGRESQL_FUNCTION)
    op.execute(POSTGRESQL_TRIGGER)

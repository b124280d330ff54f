"""Keep the texts of streams that are not merged, put together, for the search; index the blocks of such calls anew."""

import sqlalchemy as sa
import zstandard
from alembic import op

from moonpalace_addons.wire.chat import stream_texts

revision = "0006"
down_revision = "0005"

AT_ONCE = 50
"""Streams in memory at once."""

# Those whose answer is no JSON object, as a completion is.
NOT_MERGED = """
SELECT exchange_id, event_streams.data FROM event_streams JOIN exchanges ON exchanges.id = exchange_id
JOIN parts ON parts.id = {first} WHERE exchange_id > :last AND substr(parts.data, 1, 1) <> {brace}
ORDER BY exchange_id LIMIT :count
"""
DIALECTS = {
    "sqlite": {"first": "json_extract(response_parts, '$[0]')", "brace": "x'7b'"},
    "postgresql": {"first": "(response_parts::json ->> 0)::bigint", "brace": "'\\x7b'::bytea"},
}
UPDATE = "UPDATE event_streams SET texts = :texts WHERE exchange_id = :call"
FORGET = "DELETE FROM search_blocks WHERE block = :call >> 6"


def upgrade() -> None:
    """Add the column, and fill it."""
    op.add_column("event_streams", sa.Column("texts", sa.Text()))
    connection = op.get_bind()
    query, last = sa.text(NOT_MERGED.format(**DIALECTS[connection.dialect.name])), 0
    while rows := connection.execute(query, {"last": last, "count": AT_ONCE}).all():
        for call, data in rows:
            texts = stream_texts.document(zstandard.decompress(data))
            connection.execute(sa.text(UPDATE), {"texts": texts, "call": call})
            connection.execute(sa.text(FORGET), {"call": call})
        last = rows[-1][0]

"""The tables of the store, the same on SQLite and PostgreSQL.

Durations are in nanoseconds and moments in microseconds since the epoch, unless a comment says otherwise. The view
`moonshot_requests`, with the columns and units that the original documents, is made by the migrations. These are plain
tables and not mapped classes: nothing here works with objects, and importing SQLAlchemy's ORM would cost every command
a tenth of a second.
"""

from datetime import datetime
from types import UnionType
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

from moonpalace_addons.store.exchange import Exchange

METADATA = MetaData()

# SQLite numbers rows by themselves only where the type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def owner() -> Column[int]:
    """Return the column that ties a row to its call, and lets it go with the call."""
    return Column(
        "exchange_id", RowId, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


IDENTITY = Table(
    "store_identity",
    METADATA,
    Column("id", Integer, primary_key=True),
    # The key of the fingerprints of API keys: without it, nobody can test a guessed API key against the rows.
    Column("fingerprint_key", LargeBinary, nullable=False),
)
"""One row: what tells this store from others."""

RUNS = Table(
    "runs",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("export", Text),  # the state of its export (`store.telemetry.export_state`); NULL if it exports nothing
)
"""One life of a proxy, so that its unfinished calls can be told from those of a running one."""

HINTS = Exchange.__annotations__
TYPES: dict[object, type[TypeEngine[Any]]] = {int: BigInteger, datetime: BigInteger, float: Float, bool: Boolean}
SIZED: dict[str, TypeEngine[Any]] = {
    "uuid": String(36),
    "state": String(32),
    "key_fingerprint": String(16),
    "category": String(16),
    "status_code": Integer(),
}
"""Optimizations that the migrations have applied."""


def stored(name: str) -> Column[Any]:
    """Return the column for an attribute of `Exchange`; sentences are a JSON array, NULL for none."""
    hint = HINTS[name]
    kind = get_args(hint)[0] if isinstance(hint, UnionType) else hint
    return Column(
        name, SIZED.get(name) or TYPES.get(kind, Text)(), nullable=kind is not hint or hint == tuple[str, ...]
    )


EXCHANGES = Table(
    "exchanges",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("run_id", String(36), ForeignKey("runs.id"), nullable=False),
    *(stored(name) for name in HINTS if name not in ("id", "request_headers")),
    # Either the headers, or the piece in `parts` that many calls share (`store.records.request_headers`).
    Column("request_headers", Text),
    Column("request_headers_part", RowId),
    # Like those of the request; their date has a column (`store.records.response_headers`).
    Column("response_headers_part", RowId),
    Column("response_date", Text),
    Column("stream_requested", Boolean),  # whether the request's JSON says "stream": true; NULL if it could not be read
    # JSON arrays of the ids in `parts` that, joined, are a body, decoded; of a stream, the merged completion. They are
    # no separate table: its rows would cost more than the pieces themselves.
    Column("request_parts", Text),
    Column("response_parts", Text),
    Index("exchanges_uuid", "uuid", unique=True),  # the writer: never the same call twice
    Index("exchanges_chatcmpl_id", "chatcmpl_id"),  # inspect --chatcmpl
    Index("exchanges_msh_request_id", "msh_request_id"),  # inspect --requestid
    Index("exchanges_started_at", "started_at"),  # list and other queries by time; cleanup --before
    # predicates: conditions that need no bodies; with the time, the newest matches are found at once: otherwise 97,000
    # of 100,000 calls with status 200 would be read and sorted
    Index("exchanges_status_code", "status_code", "started_at"),
    Index("exchanges_model_requested", "model_requested", "started_at"),
    Index("exchanges_model_answered", "model_answered", "started_at"),
    Index("exchanges_stream_requested", "stream_requested", "started_at"),
    Index("exchanges_finish_reason", "finish_reason", "started_at"),
    Index("exchanges_prompt_tokens", "prompt_tokens", "started_at"),
    Index("exchanges_completion_tokens", "completion_tokens", "started_at"),
    Index("exchanges_total_tokens", "total_tokens", "started_at"),
    Index("exchanges_state", "state", "started_at"),  # the next start: calls that a dead proxy left in flight
    # Ids of deleted rows must not be reused: users have written them down.
    sqlite_autoincrement=True,
)
"""One HTTP call: request, answer, and how it ended."""

TAGS = Table(
    "exchange_tags",
    METADATA,
    owner(),
    Column("tag", Text, primary_key=True),
    Index("exchange_tags_tag", "tag"),  # predicates and completion
)
"""Labels of calls, given by users."""

EXPLANATIONS = Table(
    "explanations",
    METADATA,
    Column("exchange_id", RowId, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    # The uuid of the call in which the model answered; an explanation of several calls has a row for each of them. Not
    # a foreign key: the explanation outlives that call.
    Column("call_uuid", String(36), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("question", Text),  # the user's; NULL for "what went wrong?"
    Column("calls", Integer, nullable=False),  # how many calls it explains
    Column("text", Text, nullable=False),
)
"""Explanations of calls by models (`mpal explain`)."""

CONTEXT_CACHES = Table(
    "context_caches",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("endpoint", Text, nullable=False),
    Column("key_fingerprint", String(16), nullable=False),  # not the key itself: the owner of the cache
    Column("prefix_hash", LargeBinary, nullable=False),
    Column("prefix_messages", Integer, nullable=False),  # number of messages in it, besides the tools
    Column("prefix_bytes", BigInteger, nullable=False),
    Column("model", Text),
    Column("cache_id", Text),  # the API's id for it; NULL while it is being created
    Column("state", String(16), nullable=False),  # "creating" or "ready"
    Column("tokens", BigInteger),
    Column("uses", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    # one cache for each prefix, however many proxies try to create it
    Index("context_caches_prefix", "endpoint", "key_fingerprint", "prefix_hash", unique=True),
    Index("context_caches_used_at", "used_at"),  # the clean-up
)
"""A context cache at the API, created from the beginning of a conversation."""

PARTS = Table(
    "parts",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("hash", LargeBinary, nullable=False),  # BLAKE2b of the data, 16 bytes
    Column("is_text", Boolean, nullable=False),  # UTF-8 without NUL: what both databases can show as text
    Column("data", LargeBinary, nullable=False),
    Index("parts_hash", "hash", unique=True),  # the writer: does this piece exist already
)
"""Pieces of bodies and headers, each stored once however many calls carried it (`store.write.body_parts`)."""

UNUSED_PARTS = Table(
    "unused_parts",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("token", BigInteger, nullable=False),  # a new value whenever the piece is noted
)
"""Pieces that may be unused, for the clean-up to check; a call that uses one removes its row."""

EVENT_STREAMS = Table(
    "event_streams",
    METADATA,
    owner(),
    Column("data", LargeBinary, nullable=False),  # the decoded bytes
    Column("chunks", LargeBinary, nullable=False),  # JSON: [[bytes of each chunk], [ns from each to the next]]
    Column("texts", Text),  # for the search, if the stream is also the answer of its call (`wire.chat.stream_texts`)
)
"""A stream as received, `data` and `chunks` compressed with zstd."""

SEGMENTS = Table(
    "response_segments",
    METADATA,
    owner(),
    Column("sequence", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("chunks", Text, nullable=False),  # JSON: [[offset after the chunk, ns since the request began], …]
)
"""The part of an unfinished response received so far; deleted when the call ends."""

SEARCH_BLOCKS = Table(
    "search_blocks",
    METADATA,
    Column("block", RowId, primary_key=True, autoincrement=False),  # the ids of its calls, divided by 64
    Column("words", LargeBinary, nullable=False),
)
"""The words in the calls of a block (`wire.word_filter`).

A block only has a row if its calls are final; a trigger deletes the row if one changes nevertheless.
"""

DELIVERIES = Table(
    "deliveries",
    METADATA,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("marker", String(32), nullable=False),  # contained in the report, by which its receiver finds it
    Column("slot", Text),  # unique: a destination and a call; NULL for a rule's reports
    # A rule's limit counts the reports of deleted calls; the clean-up deletes them some days later.
    Column("exchange_id", RowId, ForeignKey("exchanges.id", ondelete="SET NULL")),
    Column("destination", Text, nullable=False),  # its name in config.yaml
    Column("rule", Text),
    Column("likeness", String(32)),  # what the calls that a rule gathers have in common
    Column("calls", BigInteger, nullable=False),  # how many calls it covers
    Column("kinds", BigInteger, nullable=False),  # the minimum number of likenesses among them
    Column("state", String(16), nullable=False),  # `store.records.deliveries.DeliveryState`
    Column("attempts", Integer, nullable=False),
    Column("first_at", BigInteger, nullable=False),  # when its first and its last call began
    Column("last_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("tried_at", BigInteger),  # the first attempt
    Column("address", Text),
    Column("reason", Text),  # why it was not sent
    Index("deliveries_slot", "slot", unique=True),  # one report of a call to a destination, whoever asks for it
    Index("deliveries_exchange_id", "exchange_id"),  # the reports of a call; the clean-up
    Index("deliveries_state", "state", "due_at"),  # due reports
    Index("deliveries_rule", "rule", "tried_at"),  # how many reports a rule has sent today
)
"""A report of a call, pending or sent."""

REPORT_RULES = Table(
    "report_rules",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("turn", BigInteger, nullable=False),  # changes with each step, so that only one of two proxies continues
    Column("looked_to", BigInteger, nullable=False),  # the last call that the rule has seen
    Column("unfinished", Text, nullable=False),  # JSON: ids up to there of calls that had not ended
)
"""The progress of the rules that report calls."""

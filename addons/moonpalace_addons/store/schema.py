"""The tables of the store, the same on SQLite and PostgreSQL.

Durations are in nanoseconds and moments in microseconds since the epoch, unless a comment says otherwise. The view
`moonshot_requests`, with the columns and units that the original documents, is made by the migrations.
"""

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0001"
"""The migration that this code works with; `store.engine` upgrades what is older and refuses what is newer."""

# SQLite numbers rows by themselves only where the type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


class Base(DeclarativeBase):
    """The declarative base of all tables."""


class Identity(Base):
    """One row: what tells this store from others."""

    __tablename__ = "store_identity"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    # The key of the fingerprints of API keys: without it, nobody can test a guessed API key against the rows.
    fingerprint_key: Mapped[bytes] = mapped_column(LargeBinary)


class Run(Base):
    """One life of a proxy, so that its unfinished calls can be told from those of a living one."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    version: Mapped[str] = mapped_column(Text)
    started_at: Mapped[int] = mapped_column(BigInteger)
    heartbeat_at: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)


class ExchangeRow(Base):
    """One HTTP call: what was asked, what came back, and how it ended."""

    __tablename__ = "exchanges"

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)
    uuid: Mapped[str] = mapped_column(String(36))
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"))
    state: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[int] = mapped_column(BigInteger)

    method: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(Text)
    query: Mapped[str] = mapped_column(Text)
    request_headers: Mapped[str] = mapped_column(Text)
    request_content_type: Mapped[str | None] = mapped_column(Text)
    request_bytes: Mapped[int] = mapped_column(BigInteger)
    client_request_id: Mapped[str | None] = mapped_column(Text)
    key_fingerprint: Mapped[str | None] = mapped_column(String(16))
    changes: Mapped[str | None] = mapped_column(Text)  # a JSON array of what we changed on the way upstream

    status_code: Mapped[int | None] = mapped_column(Integer)
    response_headers: Mapped[str | None] = mapped_column(Text)
    response_content_type: Mapped[str | None] = mapped_column(Text)
    response_bytes: Mapped[int | None] = mapped_column(BigInteger)
    msh_request_id: Mapped[str | None] = mapped_column(Text)
    msh_uid: Mapped[str | None] = mapped_column(Text)
    msh_gid: Mapped[str | None] = mapped_column(Text)
    server_timing: Mapped[int | None] = mapped_column(BigInteger)  # milliseconds, as the API says it
    context_cache_id: Mapped[str | None] = mapped_column(Text)

    chatcmpl_id: Mapped[str | None] = mapped_column(Text)
    model_requested: Mapped[str | None] = mapped_column(Text)
    model_answered: Mapped[str | None] = mapped_column(Text)
    is_stream: Mapped[bool] = mapped_column(Boolean)
    is_coerced: Mapped[bool] = mapped_column(Boolean)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)
    total_tokens: Mapped[int | None] = mapped_column(BigInteger)
    cached_tokens: Mapped[int | None] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int | None] = mapped_column(BigInteger)

    time_to_headers: Mapped[int | None] = mapped_column(BigInteger)
    time_to_first_token: Mapped[int | None] = mapped_column(BigInteger)
    time_to_first_visible_token: Mapped[int | None] = mapped_column(BigInteger)
    time_per_output_token: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens_per_second: Mapped[float | None] = mapped_column(Float)
    longest_stall: Mapped[int | None] = mapped_column(BigInteger)
    latency: Mapped[int | None] = mapped_column(BigInteger)
    overhead: Mapped[int | None] = mapped_column(BigInteger)  # time spent in our own hooks

    warnings: Mapped[str | None] = mapped_column(Text)  # a JSON array of sentences
    error_kind: Mapped[str | None] = mapped_column(Text)
    error_message: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("exchanges_uuid", "uuid", unique=True),  # the writer: never the same call twice
        Index("exchanges_chatcmpl_id", "chatcmpl_id"),  # inspect --chatcmpl
        Index("exchanges_msh_request_id", "msh_request_id"),  # inspect --requestid
        Index("exchanges_started_at", "started_at"),  # cleanup --before
        # The next start looks for what a dead proxy left: few rows, so the index is nearly empty.
        Index(
            "exchanges_in_flight",
            "run_id",
            sqlite_where=text("state = 'in_flight'"),
            postgresql_where=text("state = 'in_flight'"),
        ),
        # Ids of deleted rows must not come again: users have written them down.
        {"sqlite_autoincrement": True},
    )


class Body(Base):
    """The body of a request or response, decoded; of a stream, the merged completion."""

    __tablename__ = "bodies"

    exchange_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    side: Mapped[str] = mapped_column(String(8), primary_key=True)  # "request" or "response"
    is_text: Mapped[bool] = mapped_column(Boolean)  # UTF-8 without NUL: what both databases can show as text
    data: Mapped[bytes] = mapped_column(LargeBinary)


class EventStream(Base):
    """A stream as it came, both columns compressed with zstd."""

    __tablename__ = "event_streams"

    exchange_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    data: Mapped[bytes] = mapped_column(LargeBinary)  # the decoded bytes
    chunks: Mapped[bytes] = mapped_column(LargeBinary)  # JSON: [offset after the chunk, ns since the request began] …


class ResponseSegment(Base):
    """What has come of a response that is still under way; gone when the call ends."""

    __tablename__ = "response_segments"

    exchange_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    chunks: Mapped[str] = mapped_column(Text)  # JSON as in EventStream

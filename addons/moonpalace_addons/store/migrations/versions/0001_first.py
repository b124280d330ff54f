"""The first schema: runs, exchanges, pieces of bodies, event streams, and the documented view."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# The documented columns, their units and their order (the reference database of the original). Durations there:
# ttft and tpot in milliseconds, latency in nanoseconds; created_at in local time.
VIEW = """
CREATE VIEW moonshot_requests AS SELECT
    e.id AS id,
    e.method AS request_method,
    e.path AS request_path,
    e.query AS request_query,
    e.request_content_type AS request_content_type,
    e.client_request_id AS request_id,
    e.chatcmpl_id AS moonshot_id,
    e.msh_gid AS moonshot_gid,
    e.msh_uid AS moonshot_uid,
    e.msh_request_id AS moonshot_request_id,
    e.server_timing AS moonshot_server_timing,
    e.status_code AS response_status_code,
    e.response_content_type AS response_content_type,
    {request_header} AS request_header,
    {request_body} AS request_body,
    e.response_headers AS response_header,
    {response_body} AS response_body,
    CASE WHEN e.state <> 'completed' THEN e.error_message END AS error,
    e.time_to_first_token / 1000000 AS response_ttft,
    e.time_per_output_token / 1000000 AS response_tpot,
    e.output_tokens_per_second AS response_otps,
    e.latency AS latency,
    e.endpoint AS endpoint,
    {created_at} AS created_at,
    e.state AS state,
    e.model_requested AS model_requested,
    e.model_answered AS model_answered,
    e.finish_reason AS finish_reason,
    e.prompt_tokens AS prompt_tokens,
    e.completion_tokens AS completion_tokens,
    e.total_tokens AS total_tokens,
    e.cached_tokens AS cached_tokens,
    e.reasoning_tokens AS reasoning_tokens,
    e.is_stream AS is_stream,
    e.is_coerced AS is_coerced,
    e.error_kind AS error_kind,
    e.error_message AS error_message,
    e.warnings AS warnings,
    e.changes AS changes,
    e.request_bytes AS request_bytes,
    e.response_bytes AS response_bytes,
    e.key_fingerprint AS key_fingerprint,
    e.context_cache_id AS context_cache_id,
    e.cache_outcome AS cache_outcome,
    e.cache_tokens AS cache_tokens,
    e.longest_stall / 1000000 AS longest_stall,
    e.category AS category,
    {tags} AS tags,
    e.note AS note
FROM exchanges e
"""

# A body is text if all its pieces are there and text. SQLite 3.40 has no ORDER BY in an aggregate: a subquery has it.
SQLITE_BODY = """(SELECT CASE WHEN count(*) = count(piece) THEN group_concat(piece, '') END FROM (
        SELECT CASE WHEN p.is_text THEN CAST(p.data AS TEXT) END AS piece
        FROM json_each(e.{side}_parts) j LEFT JOIN parts p ON p.id = j.value ORDER BY j.key))"""
POSTGRESQL_BODY = """(SELECT CASE WHEN count(*) = count(piece) THEN string_agg(piece, '' ORDER BY position) END FROM (
        SELECT CASE WHEN p.is_text THEN convert_from(p.data, 'UTF8') END AS piece, j.position
        FROM json_array_elements_text(e.{side}_parts::json) WITH ORDINALITY AS j(value, position)
        LEFT JOIN parts p ON p.id = j.value::bigint) AS pieces)"""

# The headers stand in the row, or in a piece with marks for what differs (`store.records.request_headers`).
REQUEST_HEADER = """coalesce(e.request_headers, (
        SELECT replace(replace({text}, {character}(1), CAST(e.request_bytes AS text)),
            {character}(2), coalesce(e.client_request_id, ''))
        FROM parts p WHERE p.id = e.request_headers_part))"""

DIALECTS = {
    "sqlite": {
        "request_header": REQUEST_HEADER.format(text="CAST(p.data AS TEXT)", character="char"),
        "request_body": SQLITE_BODY.format(side="request"),
        "response_body": SQLITE_BODY.format(side="response"),
        "created_at": "datetime(e.started_at / 1000000, 'unixepoch', 'localtime')",
        "tags": "(SELECT group_concat(tag, ',') FROM"
        " (SELECT t.tag AS tag FROM exchange_tags t WHERE t.exchange_id = e.id ORDER BY t.tag))",
    },
    "postgresql": {
        "request_header": REQUEST_HEADER.format(text="convert_from(p.data, 'UTF8')", character="chr"),
        "request_body": POSTGRESQL_BODY.format(side="request"),
        "response_body": POSTGRESQL_BODY.format(side="response"),
        "created_at": "to_char(to_timestamp(e.started_at / 1000000), 'YYYY-MM-DD HH24:MI:SS')",
        "tags": "(SELECT string_agg(t.tag, ',' ORDER BY t.tag) FROM exchange_tags t WHERE t.exchange_id = e.id)",
    },
}

SEARCHED = (
    "status_code",
    "model_requested",
    "model_answered",
    "stream_requested",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
)

# A body as JSON, NULL for what is none or is nested too deeply. PostgreSQL takes no NUL and no half of a surrogate pair
# in a string, even if it is only walked past: a string is cut at the former, as SQLite does, and the latter replaced.
POSTGRESQL_JSON = r"""
CREATE FUNCTION moonpalace_json(body text) RETURNS json LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
BEGIN
    IF body ~ '\\u(?:0000|[dD][89a-fA-F])' THEN
        body := regexp_replace(body, '(?<!\\)((?:\\\\)*)\\u0000(?:[^"\\]|\\.)*', '\1', 'g');
        body := regexp_replace(
            body,
            '(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])'
            '|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})',
            '\1\ufffd', 'g'
        );
    END IF;
    RETURN body::json;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$function$
"""

# The same as jsonb, which the language of paths needs; NULL also for numbers that jsonb does not hold.
POSTGRESQL_JSONB = """
CREATE FUNCTION moonpalace_jsonb(body text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
BEGIN
    RETURN moonpalace_json(body)::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$function$
"""


def upgrade() -> None:
    """Create everything."""
    identity = op.create_table(
        "store_identity",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("fingerprint_key", sa.LargeBinary(), nullable=False),
    )
    op.bulk_insert(identity, [{"id": 1, "fingerprint_key": secrets.token_bytes(32)}])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
    )
    create_exchanges()
    create_tags()
    create_contents()
    create_context_caches()
    op.execute(VIEW.format(**DIALECTS[op.get_bind().dialect.name]))
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(POSTGRESQL_JSON)
        op.get_bind().exec_driver_sql(POSTGRESQL_JSONB)


def create_exchanges() -> None:
    """Create the table of calls with its indexes."""
    op.create_table(
        "exchanges",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("run_id", sa.String(36), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("request_headers", sa.Text()),
        sa.Column("request_headers_part", ROW_ID),
        sa.Column("request_content_type", sa.Text()),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("client_request_id", sa.Text()),
        sa.Column("key_fingerprint", sa.String(16)),
        sa.Column("changes", sa.Text()),
        sa.Column("status_code", sa.Integer()),
        sa.Column("response_headers", sa.Text()),
        sa.Column("response_content_type", sa.Text()),
        sa.Column("response_bytes", sa.BigInteger()),
        sa.Column("msh_request_id", sa.Text()),
        sa.Column("msh_uid", sa.Text()),
        sa.Column("msh_gid", sa.Text()),
        sa.Column("server_timing", sa.BigInteger()),
        sa.Column("context_cache_id", sa.Text()),
        sa.Column("chatcmpl_id", sa.Text()),
        sa.Column("model_requested", sa.Text()),
        sa.Column("model_answered", sa.Text()),
        sa.Column("is_stream", sa.Boolean(), nullable=False),
        sa.Column("is_coerced", sa.Boolean(), nullable=False),
        sa.Column("stream_requested", sa.Boolean()),
        sa.Column("finish_reason", sa.Text()),
        sa.Column("prompt_tokens", sa.BigInteger()),
        sa.Column("completion_tokens", sa.BigInteger()),
        sa.Column("total_tokens", sa.BigInteger()),
        sa.Column("cached_tokens", sa.BigInteger()),
        sa.Column("reasoning_tokens", sa.BigInteger()),
        sa.Column("time_to_headers", sa.BigInteger()),
        sa.Column("time_to_first_token", sa.BigInteger()),
        sa.Column("time_to_first_visible_token", sa.BigInteger()),
        sa.Column("time_per_output_token", sa.BigInteger()),
        sa.Column("output_tokens_per_second", sa.Float()),
        sa.Column("longest_stall", sa.BigInteger()),
        sa.Column("gap_p50", sa.BigInteger()),
        sa.Column("gap_p90", sa.BigInteger()),
        sa.Column("gap_p99", sa.BigInteger()),
        sa.Column("latency", sa.BigInteger()),
        sa.Column("overhead", sa.BigInteger()),
        sa.Column("warnings", sa.Text()),
        sa.Column("error_kind", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("cache_outcome", sa.Text()),
        sa.Column("cache_tokens", sa.BigInteger()),
        sa.Column("category", sa.String(16)),
        sa.Column("note", sa.Text()),
        sa.Column("request_parts", sa.Text()),
        sa.Column("response_parts", sa.Text()),
        sqlite_autoincrement=True,
    )
    op.create_index("exchanges_uuid", "exchanges", ["uuid"], unique=True)
    op.create_index("exchanges_chatcmpl_id", "exchanges", ["chatcmpl_id"])
    op.create_index("exchanges_msh_request_id", "exchanges", ["msh_request_id"])
    op.create_index("exchanges_started_at", "exchanges", ["started_at"])
    for column in SEARCHED:
        op.create_index(f"exchanges_{column}", "exchanges", [column])
    op.create_index("exchanges_state", "exchanges", ["state"])


def owner() -> sa.Column[int]:
    """Return the column that ties a row to its call."""
    return sa.Column(
        "exchange_id", ROW_ID, sa.ForeignKey("exchanges.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


def create_tags() -> None:
    """Create the table of tags."""
    op.create_table("exchange_tags", owner(), sa.Column("tag", sa.Text(), primary_key=True))
    op.create_index("exchange_tags_tag", "exchange_tags", ["tag"])


def create_context_caches() -> None:
    """Create the table of context caches."""
    op.create_table(
        "context_caches",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=True),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("key_fingerprint", sa.String(16), nullable=False),
        sa.Column("prefix_hash", sa.LargeBinary(), nullable=False),
        sa.Column("prefix_messages", sa.Integer(), nullable=False),
        sa.Column("prefix_bytes", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("cache_id", sa.Text()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tokens", sa.BigInteger()),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index(
        "context_caches_prefix", "context_caches", ["endpoint", "key_fingerprint", "prefix_hash"], unique=True
    )
    op.create_index("context_caches_used_at", "context_caches", ["used_at"])


def create_contents() -> None:
    """Create the tables that hold what the calls carried."""
    op.create_table(
        "parts",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_text", sa.Boolean(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("parts_hash", "parts", ["hash"], unique=True)
    op.create_table(
        "unused_parts",
        sa.Column("id", ROW_ID, primary_key=True, autoincrement=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "event_streams",
        owner(),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("chunks", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "response_segments",
        owner(),
        sa.Column("sequence", sa.Integer(), primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("chunks", sa.Text(), nullable=False),
    )

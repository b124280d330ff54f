r"""Let predicates on PostgreSQL go on behind a NUL in a string of a body, where they stopped."""

from alembic import op

revision = "0005"
down_revision = "0004"

# A body as JSON, NULL for what is none or is nested too deeply. PostgreSQL takes no NUL and no half of a surrogate pair
# in a string, even if it is only walked past: both are replaced.
POSTGRESQL_JSON = r"""
CREATE OR REPLACE FUNCTION moonpalace_json(body text) RETURNS json LANGUAGE plpgsql IMMUTABLE STRICT AS $function$
BEGIN
    IF body ~ '\\u(?:0000|[dD][89a-fA-F])' THEN
        body := regexp_replace(body, '(?<!\\)((?:\\\\)*)\\u0000', '\1\ufffd', 'g');
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


def upgrade() -> None:
    """Replace the function; SQLite has none."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(POSTGRESQL_JSON)

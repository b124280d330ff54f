"""The SQL of the view `messages`: one row for each message of requests and answers, on all of the API's faces.

    chat completions    `messages`, `choices`
    messages            `system`, `messages`, `content`
    responses           `instructions`, `input`, `output`
    completions         `prompt`, `choices`

A body is put together from its pieces, as in `moonshot_requests`; one that is not a JSON object has no messages. Every
function is called with a value that it accepts, since one odd body would end the whole query.
"""

LISTED = {"request": "'messages', 'input'", "response": "'choices', 'output'"}
"""The members that are lists of messages."""
ALONE = {"request": "'system', 'instructions', 'prompt'", "response": "'content', 'error'"}
"""The members that are one message."""
ROLES = {
    "request": """CASE t.key WHEN 'prompt' THEN 'prompt' WHEN 'messages' THEN 'user' WHEN 'input' THEN 'user'
            ELSE 'system' END""",
    "response": "CASE t.key WHEN 'error' THEN 'error' ELSE 'assistant' END",
}
"""The default roles of messages."""
POSITIONS = {
    "request": "CASE WHEN t.key IN ('system', 'instructions') THEN 0 ELSE {number} END",
    "response": "{number}",
}

SQLITE_BODY = """(SELECT CASE WHEN max(piece IS NULL) = 0 AND json_valid(group_concat(piece, ''))
            THEN group_concat(piece, '') END FROM (
            SELECT CASE WHEN p.is_text THEN CAST(p.data AS TEXT) END AS piece
            FROM json_each(CASE WHEN json_valid(e.{side}_parts) THEN e.{side}_parts END) j
            LEFT JOIN parts p ON p.id = j.value ORDER BY j.key))"""
SQLITE_SIDE = """SELECT e.id AS call_id, '{side}' AS side, {position} AS position,
        CASE
            WHEN t.key = 'choices' AND m.type = 'object' THEN CASE json_type(m.value, '$.message')
                WHEN 'object' THEN json_extract(m.value, '$.message')
                ELSE json_object('role', 'assistant', 'content', json_extract(m.value, '$.text')) END
            WHEN t.key IN ({listed}) AND m.type = 'object' THEN m.value
            WHEN m.type IN ('object', 'array') THEN json_object('role', {role}, 'content', json(m.value))
            ELSE json_object('role', {role}, 'content', m.value) END AS message
    FROM exchanges e CROSS JOIN json_each({body}) t CROSS JOIN json_each(CASE
            WHEN t.type = 'array' AND t.key IN ({listed}) THEN t.value
            WHEN t.type IN ('array', 'object') THEN json_array(json(t.value))
            ELSE json_array(t.value) END) m
    WHERE t.key IN ({listed}, {alone}) AND t.type <> 'null'"""
SQLITE = """SELECT call_id, side, position,
    CAST(coalesce(json_extract(message, '$.role'), json_extract(message, '$.type')) AS TEXT) AS role,
    CAST(CASE json_type(message, '$.content')
        WHEN 'text' THEN json_extract(message, '$.content')
        WHEN 'object' THEN json_extract(message, '$.content.message')
        WHEN 'array' THEN (SELECT group_concat(text, char(10)) FROM (SELECT CASE b.type
            WHEN 'text' THEN b.value WHEN 'object' THEN json_extract(b.value, '$.text') END AS text
            FROM json_each(message, '$.content') b ORDER BY b.key))
        ELSE json_extract(message, '$.output') END AS TEXT) AS text,
    CAST(coalesce(json_extract(message, '$.reasoning_content'), json_extract(message, '$.reasoning'),
        (SELECT group_concat(text, char(10)) FROM (SELECT CASE b.type
            WHEN 'object' THEN coalesce(json_extract(b.value, '$.thinking'), CASE json_extract(b.value, '$.type')
                WHEN 'summary_text' THEN json_extract(b.value, '$.text') END) END AS text
            FROM json_each(message,
                CASE json_type(message, '$.summary') WHEN 'array' THEN '$.summary' ELSE '$.content' END) b
            ORDER BY b.key))) AS TEXT) AS reasoning,
    CAST(CASE
        WHEN json_type(message, '$.tool_calls') = 'array' THEN json_extract(message, '$.tool_calls')
        WHEN json_extract(message, '$.type') IN ('function_call', 'custom_tool_call') THEN json_array(json(message))
        ELSE nullif((SELECT json_group_array(json(value)) FROM (SELECT b.value AS value
            FROM json_each(message, '$.content') b
            WHERE b.type = 'object' AND CASE b.type WHEN 'object' THEN json_extract(b.value, '$.type') END = 'tool_use'
            ORDER BY b.key)), '[]')
        END AS TEXT) AS tool_calls,
    CAST(coalesce(json_extract(message, '$.tool_call_id'), json_extract(message, '$.call_id')) AS TEXT) AS tool_call_id,
    CAST(message AS TEXT) AS message
FROM ({request}
    UNION ALL {response})"""

POSTGRESQL_BODY = """(SELECT CASE WHEN count(*) = count(piece) THEN string_agg(piece, '' ORDER BY position) END FROM (
            SELECT CASE WHEN p.is_text THEN convert_from(p.data, 'UTF8') END AS piece, j.position
            FROM json_array_elements_text(e.{side}_parts::json) WITH ORDINALITY AS j(value, position)
            LEFT JOIN parts p ON p.id = j.value::bigint) AS pieces)"""
POSTGRESQL_SIDE = """SELECT e.id AS call_id, '{side}' AS side, {position} AS position,
        CASE
            WHEN t.key = 'choices' AND jsonb_typeof(m.value) = 'object' THEN
                CASE jsonb_typeof(m.value -> 'message') WHEN 'object' THEN m.value -> 'message'
                ELSE jsonb_build_object('role', 'assistant', 'content', m.value -> 'text') END
            WHEN t.key IN ({listed}) AND jsonb_typeof(m.value) = 'object' THEN m.value
            ELSE jsonb_build_object('role', {role}, 'content', m.value) END AS message
    FROM exchanges e
    CROSS JOIN LATERAL (SELECT moonpalace_jsonb({body}) AS body OFFSET 0) AS document
    CROSS JOIN LATERAL
        jsonb_each(CASE jsonb_typeof(document.body) WHEN 'object' THEN document.body END) AS t(key, value)
    CROSS JOIN LATERAL jsonb_array_elements(CASE
            WHEN jsonb_typeof(t.value) = 'array' AND t.key IN ({listed}) THEN t.value
            ELSE jsonb_build_array(t.value) END) WITH ORDINALITY AS m(value, number)
    WHERE t.key IN ({listed}, {alone}) AND jsonb_typeof(t.value) <> 'null'"""
POSTGRESQL = """SELECT call_id, side, CAST(position AS bigint) AS position,
    coalesce(message ->> 'role', message ->> 'type') AS role,
    CASE jsonb_typeof(message -> 'content')
        WHEN 'string' THEN message ->> 'content'
        WHEN 'object' THEN message -> 'content' ->> 'message'
        WHEN 'array' THEN (SELECT string_agg(CASE jsonb_typeof(b.value)
            WHEN 'string' THEN b.value #>> '{{}}' ELSE b.value ->> 'text' END, chr(10) ORDER BY b.number)
            FROM jsonb_array_elements(message -> 'content') WITH ORDINALITY AS b(value, number))
        ELSE message ->> 'output' END AS text,
    coalesce(message ->> 'reasoning_content', message ->> 'reasoning',
        (SELECT string_agg(coalesce(b.value ->> 'thinking',
            CASE b.value ->> 'type' WHEN 'summary_text' THEN b.value ->> 'text' END), chr(10) ORDER BY b.number)
            FROM jsonb_array_elements(CASE WHEN jsonb_typeof(message -> 'summary') = 'array' THEN message -> 'summary'
            WHEN jsonb_typeof(message -> 'content') = 'array' THEN message -> 'content' END)
            WITH ORDINALITY AS b(value, number))) AS reasoning,
    CASE
        WHEN jsonb_typeof(message -> 'tool_calls') = 'array' THEN message -> 'tool_calls'
        WHEN message ->> 'type' IN ('function_call', 'custom_tool_call') THEN jsonb_build_array(message)
        ELSE (SELECT jsonb_agg(b.value ORDER BY b.number) FROM jsonb_array_elements(
            CASE WHEN jsonb_typeof(message -> 'content') = 'array' THEN message -> 'content' END)
            WITH ORDINALITY AS b(value, number) WHERE b.value ->> 'type' = 'tool_use') END AS tool_calls,
    coalesce(message ->> 'tool_call_id', message ->> 'call_id') AS tool_call_id,
    message
FROM ({request}
    UNION ALL {response}) AS listed"""

DIALECTS = {
    "sqlite": (SQLITE, SQLITE_SIDE, SQLITE_BODY, "m.key + 1"),
    "postgresql": (POSTGRESQL, POSTGRESQL_SIDE, POSTGRESQL_BODY, "m.number"),
}


def messages(dialect: str) -> str:
    """Return the query that is the view."""
    view, one_side, body, number = DIALECTS[dialect]
    sides = {
        side: one_side.format(
            side=side,
            body=body.format(side=side),
            listed=LISTED[side],
            alone=ALONE[side],
            role=ROLES[side],
            position=POSITIONS[side].format(number=number),
        )
        for side in LISTED
    }
    return view.format(**sides)

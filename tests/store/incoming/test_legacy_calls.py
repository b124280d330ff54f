"""Converting rows of the original to calls."""

import json
from datetime import UTC, datetime

import pytest

from moonpalace_addons.store.incoming import legacy, legacy_calls
from moonpalace_addons.store.incoming.legacy import Stored
from moonpalace_addons.store.incoming.transfer import Transferred
from moonpalace_addons.store.tasks import State
from moonpalace_addons.store.write import derive
from tests.tables import for_each

NOON = 1_722_254_400_000_000  # 2024-07-29 12:00:00 UTC
ANSWER = b'{"id": "chatcmpl-1", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}'
EVENT = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":%s}]}\n\n'
DONE = b"data: [DONE]\n\n"


pytestmark = pytest.mark.usefixtures("shanghai")


def row(**changes: Stored) -> dict[str, Stored]:
    """Return a plain row with some columns changed."""
    plain: dict[str, Stored] = {
        "id": 7,
        "request_method": b"POST",
        "request_path": b"/v1/chat/completions",
        "request_query": b"",
        "request_header": b"Accept: */*\r\n",
        "request_body": b'{"model": "kimi-k3"}',
        "response_status_code": 200,
        "response_content_type": b"application/json",
        "response_header": b"Content-Type: application/json\r\n",
        "response_body": ANSWER,
        "latency": 1_676_003,
        "endpoint": b"https://api.moonshot.cn",
        "created_at": b"2024-07-29 20:00:00",
    }
    return dict.fromkeys(legacy.COLUMNS) | plain | changes


def call(**changes: Stored) -> Transferred:
    """Return the call of a row."""
    return legacy_calls.to_call(row(**changes), NOON)


def stream(*events: bytes) -> dict[str, Stored]:
    """Return the columns of a row whose answer came as these events."""
    return {"response_content_type": b"text/event-stream", "response_body": b"".join(events)}


@for_each(
    ("changes", "state"),
    [
        ({}, State.COMPLETED),
        ({"response_status_code": 401}, State.COMPLETED),
        ({"error": b""}, State.COMPLETED),
        ({"error": b"dial tcp: connect: connection refused"}, State.UPSTREAM_FAILED),
        ({"error": b"unexpected EOF"}, State.UPSTREAM_FAILED),
        ({"error": b"context deadline exceeded (Client.Timeout exceeded while awaiting headers)"}, State.TIMED_OUT),
        ({"error": b"read tcp 1.2.3.4:5: i/o timeout"}, State.TIMED_OUT),
        ({"error": b'Post "https://api": context canceled'}, State.CLIENT_DISCONNECTED),
        ({"response_status_code": None}, State.PROXY_DIED),
        (stream(EVENT % b'"repeat"', DONE), State.REPEAT_INTERRUPTED),
        (stream(EVENT % b'"stop"', DONE), State.COMPLETED),
        (stream(EVENT % b"null"), State.COMPLETED),
    ],
)
def test_state_is_what_the_row_tells(changes: dict[str, Stored], state: State) -> None:
    """The state follows from the error's text, the finish reason and the status."""
    assert call(**changes).columns["state"] == state


def test_error_is_kept_as_it_was() -> None:
    """An error keeps its text, and gets no kind."""
    columns = call(error=b"unexpected EOF", response_status_code=None).columns
    assert (columns["error_message"], columns["error_kind"]) == ("unexpected EOF", None)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (stream(EVENT % b"null"), legacy_calls.NO_END),
        ({"response_status_code": None}, legacy_calls.NO_STATUS),
        ({"created_at": b"yesterday"}, legacy_calls.NO_TIME),
    ],
)
def test_what_is_not_known_is_said(changes: dict[str, Stored], warning: str) -> None:
    """A row with an open question gets a warning, and no guess."""
    assert json.loads(str(call(**changes).columns["warnings"])) == [warning]


def test_what_the_original_said_stays() -> None:
    """Columns that the original filled keep their values, including NULL, with durations in our unit."""
    changes: dict[str, Stored] = {"response_ttft": 11, "response_tpot": 12, "response_otps": 81.5}
    changes |= {"moonshot_server_timing": 101, "moonshot_id": b"chatcmpl-9", "moonshot_gid": b"g"}
    columns = call(**changes, response_header=b"Msh-Request-Id: req-1\r\n").columns
    assert columns["time_to_first_token"] == 11_000_000
    assert columns["time_per_output_token"] == 12_000_000
    assert columns["output_tokens_per_second"] == 81.5
    assert columns["latency"] == 1_676_003
    assert columns["server_timing"] == 101
    assert (columns["chatcmpl_id"], columns["msh_gid"], columns["msh_request_id"]) == ("chatcmpl-9", "g", None)
    assert (columns["id"], columns["status_code"]) == (7, 200)


def test_what_it_did_not_say_is_derived() -> None:
    """The finish reason and the models are read from the bodies."""
    columns = call().columns
    assert (columns["finish_reason"], columns["model_requested"]) == ("stop", "kimi-k3")


def test_stream_is_kept_as_events_and_merged() -> None:
    """The raw events of a stream are kept, and its merged completion is the response."""
    events = (EVENT % b"null", EVENT % b'"stop"', DONE)
    taken = call(**stream(*events))
    assert taken.stream == b"".join(events)
    assert list(taken.times) == []
    assert json.loads(taken.response_body or b"")["choices"][0]["message"]["content"] == "HiHi"
    assert taken.columns["is_stream"] is True


def test_bodies_that_are_not_there_stay_away() -> None:
    """A NULL body does not become an empty one, or the reverse."""
    taken = call(request_body=None, response_body=None, response_header=None, response_status_code=None)
    assert (taken.request_body, taken.response_body, taken.stream) == (None, None, None)
    empty = call(request_body=b"", response_body=b"")
    assert (empty.request_body, empty.response_body) == (b"", b"")


SECRET = b"sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "stored", "kept"),
    [
        (
            "request_header",
            b"Accept: a\r\nX-Api-Key: " + SECRET + b"\r\nX-Last: b\r\n",
            "Accept: a\r\nX-Api-Key: ***\r\nX-Last: b\r\n",
        ),
        ("request_header", b"authorization: Bearer " + SECRET + b"\r\n", "authorization: Bearer ***\r\n"),
        ("request_header", b"Cookie: session=" + SECRET + b"\x0bmore\r\nA: b\r\n", "Cookie: ***\r\nA: b\r\n"),
        ("response_header", b"Set-Cookie: a=" + SECRET + b"; Path=/\r\nA: b\r\n", "Set-Cookie: ***\r\nA: b\r\n"),
        ("request_query", b"key=" + SECRET + b"&limit=3", "key=***&limit=3"),
        ("endpoint", b"https://user:" + SECRET + b"@api", "https://***@api"),
    ],
)
def test_secrets_do_not_come_along(name: str, stored: bytes, kept: str) -> None:
    """Stored keys and cookies are masked, everything else is unchanged."""
    ours = {"request_header": "request_headers", "response_header": "response_headers", "request_query": "query"}
    columns = call(**{name: stored}).columns
    assert columns[ours.get(name, name)] == kept
    assert SECRET.decode() not in repr(columns)


def test_secrets_are_masked_where_they_are_repeated() -> None:
    """A key from the headers is masked in bodies, streams and errors, with the same length."""
    stars = b"*" * len(SECRET)
    header = b"X-Api-Key: " + SECRET + b"\r\n"
    body = b'{"model": "m", "user": "' + SECRET + b'"}'
    events = b'data: {"choices":[{"delta":{"content":"' + SECRET + b'"}}]}\n\n' + DONE
    taken = call(request_header=header, request_body=body, **stream(events))
    assert taken.request_body == body.replace(SECRET, stars)
    assert taken.stream == events.replace(SECRET, stars)
    assert SECRET not in (taken.response_body or b"")
    failed = call(request_query=b"key=" + SECRET, error=b'Post "https://api?key=' + SECRET + b'": EOF')
    assert failed.columns["error_message"] == 'Post "https://api?key=***": EOF'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-07-29 20:00:00", NOON),
        ("2024-07-29T20:00:00", NOON),
        ("2024-07-29 12:00:00Z", NOON),
        ("2024-07-29 14:00:00+02:00", NOON),
        ("2024-07-29 20:00:00.25", NOON + 250_000),
        ("2024-07-29 20:00:00.123456789 +0800 CST m=+0.1", NOON + 123_456),
        ("", None),
        ("yesterday", None),
        ("2024-13-29 20:00:00", None),
    ],
)
def test_times_without_a_zone_are_local(text: str, expected: int | None) -> None:
    """A time is in the zone of this machine unless it has its own."""
    assert legacy_calls.microseconds(text) == expected


def test_unreadable_time_is_that_of_the_call_before() -> None:
    """A row with an unreadable time keeps its position: after the row before it."""
    rows = [row(created_at=b"?"), row(), row(created_at=None)]
    assert [moment for _, moment in legacy_calls.with_times(rows, otherwise=5)] == [5, NOON, NOON]
    assert datetime.fromtimestamp(NOON / 1e6, UTC).hour == 12


def test_identity_is_that_of_the_row() -> None:
    """The same row has the same uuid, even by its key and whatever its secrets; another row has another one."""
    plain = legacy_calls.identity(row())
    assert plain == legacy_calls.identity(row(request_body=20, response_body=len(ANSWER)))
    assert plain == legacy_calls.identity(row(request_header=b"X-Api-Key: " + SECRET))
    others = [row(id=8), row(latency=1), row(created_at=b"2024-07-29 20:00:01"), row(request_body=b"")]
    assert len({plain, *map(legacy_calls.identity, others)}) == 5


@pytest.mark.parametrize("value", [None, b"", b"\xff\x00\xfe", 2**63 - 1, float("inf"), -1.5, b"12"])
def test_no_value_is_refused(value: Stored) -> None:
    """Any value in a column is accepted: SQLite's columns hold any type."""
    for name in legacy.COLUMNS[1:] if not isinstance(value, int) else legacy.COLUMNS:
        taken = call(**{name: value})
        for column in ("method", "endpoint", "path", "query", "request_headers", "state", "request_bytes"):
            assert taken.columns[column] is not None, name


def test_what_follows_from_a_request_is_there() -> None:
    """An imported call has the columns that a captured one derives from its request."""
    body = b'{"model": "kimi-k3", "stream": true, "prompt_cache_key": "s-1"}'
    derived = derive.asked_columns("", derive.request_fields(body))
    columns = call(request_body=body, **stream(EVENT % b'"stop"', DONE)).columns
    assert {name: columns[name] for name in derived} == derived
    assert columns["session"] == "s-1"

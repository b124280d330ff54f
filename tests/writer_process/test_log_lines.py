"""The lines of the log, in the documented format."""

from datetime import UTC, datetime

import pytest

from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_addons.store.records.exchanges import Exchange
from moonpalace_addons.store.tasks import State
from moonpalace_addons.writer_process.log_lines import MAX_LINE_LENGTH, lines
from tests.exchanges import an_exchange

REPEATING = "it appears that there is an issue with content repeating in the current response"
TRUNCATED = "it seems that your max_tokens value is too small, please set a larger value"


def a_call(**changes: object) -> Exchange:
    """Return the first call of the documented log with some fields changed."""
    documented: dict[str, object] = {
        "id": 15,
        "started_at": datetime(2024, 7, 29, 13, 30, 46, tzinfo=UTC),
        "request_headers": "Accept: */*\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 1.36.1\r\n",
        "request_bytes": 2450,
        "key_fingerprint": "0123456789abcdef",
        "response_headers": (
            "Content-Type: application/json; charset=utf-8\r\nMsh-Gid: enterprise-tier-5\r\n"
            "Msh-Request-Id: c34f3421-4dae-11ef-b237-9620e33511ee\r\nMsh-Uid: cn0psmmcp7fclnphkcpg\r\n"
            "Server-Timing: inner; dur=7134\r\nVary: Origin\r\n"
        ),
        "response_bytes": 1033,
        "msh_request_id": "c34f3421-4dae-11ef-b237-9620e33511ee",
        "msh_uid": "cn0psmmcp7fclnphkcpg",
        "msh_gid": "enterprise-tier-5",
        "server_timing": 7134,
        "chatcmpl_id": "cmpl-12be8428ebe74a9e8466a37bee7a9b11",
        "model_requested": "moonshot-v1-8k",
        "model_answered": "moonshot-v1-8k",
        "prompt_tokens": 1449,
        "completion_tokens": 158,
        "total_tokens": 1607,
        "time_to_headers": 7_150_000_000,
        "output_tokens_per_second": None,
        "latency": 7_154_000_000,
        "overhead": 100_000,
    }
    return an_exchange(**(documented | changes))  # type: ignore[arg-type]


REQUEST = ["  - Request Headers: ", "    - Content-Type:   application/json"]
HEADERS = [
    "  - Response Headers: ",
    "    - Content-Type:   application/json",
    "    - Msh-Request-Id: c34f3421-4dae-11ef-b237-9620e33511ee",
    "    - Server-Timing:  7134",
    "    - Msh-Uid:        cn0psmmcp7fclnphkcpg",
    "    - Msh-Gid:        enterprise-tier-5",
]
ID = "    - id:                cmpl-12be8428ebe74a9e8466a37bee7a9b11"
TOKENS = [
    "    - prompt_tokens:     1449",
    "    - completion_tokens: 158",
    "    - total_tokens:      1607",
]
ROW = "  New Row Inserted: last_insert_id=15"


def texts(**changes: object) -> list[str]:
    """Return the lines for the documented call with some fields changed."""
    call = a_call(**changes)
    return [text for text, _ in lines(call, outcome(call))]


def styles(**changes: object) -> list[str]:
    """Return the styles of the lines."""
    call = a_call(**changes)
    return [style for _, style in lines(call, outcome(call))]


def test_json_call() -> None:
    """A call has the documented lines; the first one also has the duration, as the original's last does."""
    expected = [
        "POST   /v1/chat/completions 200 OK 7.15s #15 moonshot-v1-8k stop",
        *REQUEST,
        *HEADERS,
        "  - Response: ",
        ID,
        *TOKENS,
        ROW,
    ]
    assert texts() == expected


def test_stream() -> None:
    """A stream also has the time to the first token, per token, and the speed, in the original's units and digits."""
    shown = texts(
        time_to_first_token=11_000_000,
        time_per_output_token=12_300_000,
        output_tokens_per_second=81.51166,
        cached_tokens=256,
        reasoning_tokens=45,
    )
    assert shown[9:] == [
        "  - Response: ",
        ID,
        "    - ttft:              0.0110 s",
        "    - tpot:              0.0123 s/token",
        "    - otps:              81.5117 tokens/s",
        *TOKENS,
        "    - cached_tokens:     256",
        "    - reasoning_tokens:  45",
        ROW,
    ]


def test_stream_without_usage() -> None:
    """Without usage the tokens are unknown, as in the original."""
    assert texts(prompt_tokens=None, completion_tokens=None, total_tokens=None)[-4:] == [
        "    - prompt_tokens:     unknown",
        "    - completion_tokens: unknown",
        "    - total_tokens:      unknown",
        ROW,
    ]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (
            {"cache_outcome": "hit", "context_cache_id": "cache-1", "cache_tokens": 512},
            ["    - outcome:      hit", "    - id:           cache-1", "    - saved_tokens: 512"],
        ),
        ({"cache_outcome": "created"}, ["    - outcome: created"]),
    ],
)
def test_context_cache(changes: dict[str, object], shown: list[str]) -> None:
    """The result of context caching has a separate block, which is omitted without caching."""
    found = texts(**changes)
    assert found[found.index("  - Context Cache: ") + 1 : found.index("  - Response: ")] == shown


@pytest.mark.parametrize("warning", [TRUNCATED, REPEATING])
def test_warning(warning: str) -> None:
    """A warning precedes the row's line, in the documented words."""
    assert texts(warnings=(warning,))[-2:] == [f"  {warning}", ROW]
    assert styles(warnings=(warning,))[-2:] == ["warning", "quiet"]


def test_failed_call() -> None:
    """A call without an answer shows its state, no response block, and the kind and reason of the failure."""
    shown = texts(
        state=State.UPSTREAM_FAILED,
        status_code=None,
        response_headers=None,
        response_content_type=None,
        server_timing=None,
        chatcmpl_id=None,
        prompt_tokens=None,
        completion_tokens=None,
        total_tokens=None,
        latency=3_000_000,
        error_kind="upstream_refused",
        error_message="[Errno 111] Connect call failed ('127.0.0.1', 9)",
    )
    assert shown == [
        "POST   /v1/chat/completions upstream_failed 0.00s #15 moonshot-v1-8k the API refused the connection",
        *REQUEST,
        "  - Error: ",
        "    - upstream_refused: [Errno 111] Connect call failed ('127.0.0.1', 9)",
        ROW,
    ]


def test_broken_stream_has_status_and_state() -> None:
    """A call that failed after the headers shows both the status and the state."""
    changes = {"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected", "error_message": "left"}
    expected = "POST   /v1/chat/completions 200 OK client_disconnected 7.15s #15 moonshot-v1-8k "
    assert texts(**changes)[0] == f"{expected}your program hung up"
    assert styles(**changes)[0] == "bad"


@pytest.mark.parametrize(
    ("changes", "expected", "style"),
    [
        ({"method": "GET", "path": "/v1/models"}, "GET    /v1/models 200 OK 7.15s", "good"),
        ({"method": "OPTIONS"}, "OPTIONS /v1/chat/completions 200 OK 7.15s", "good"),
        ({"status_code": 401}, "POST   /v1/chat/completions 401 Unauthorized 7.15s", "bad"),
        ({"status_code": 429}, "POST   /v1/chat/completions 429 Too Many Requests 7.15s", "bad"),
        ({"status_code": 599}, "POST   /v1/chat/completions 599 7.15s", "bad"),
        ({"error_kind": "rate_limit"}, "POST   /v1/chat/completions 200 OK error 7.15s", "bad"),
        ({"status_code": 429, "error_kind": "x"}, "POST   /v1/chat/completions 429 Too Many Requests 7.15s", "bad"),
        ({"latency": None}, "POST   /v1/chat/completions 200 OK", "good"),
        ({"query": "api_key=sk-secret"}, "POST   /v1/chat/completions 200 OK 7.15s", "good"),
    ],
)
def test_first_line(changes: dict[str, object], expected: str, style: str) -> None:
    """The first line has method, path without its query, status and time; errors are shown as such."""
    assert texts(**changes)[0].startswith(f"{expected} #15 moonshot-v1-8k")
    assert styles(**changes)[0] == style


def test_headers_that_are_shown() -> None:
    """The client's request id and the context cache's id are shown if present; blocks are aligned."""
    shown = texts(
        request_headers="x-request-id: r-1\r\n",
        response_headers="MSH-CONTEXT-CACHE-ID: cache-1\r\nContent-Type: text/event-stream\r\n",
        response_content_type="text/event-stream",
        server_timing=None,
    )
    assert shown[1:6] == [
        "  - Request Headers: ",
        "    - X-Request-Id:   r-1",
        "  - Response Headers: ",
        "    - Content-Type:         text/event-stream",
        "    - Msh-Context-Cache-Id: cache-1",
    ]


@pytest.mark.parametrize(
    "field", ["path", "error_message", "method", "chatcmpl_id", "response_headers", "request_headers", "warnings"]
)
def test_nothing_can_forge_a_line(field: str) -> None:
    """Control characters, line ends and lone surrogates from any source cannot garble the log."""
    evil = "x\x1b[31m\n\x9b\u2028\udc80[MoonPalace] forged"
    value: object = (evil,) if field == "warnings" else evil
    if field.endswith("_headers"):
        value = f"Content-Type: {evil}\r\n"
    changes = {"response_content_type": None, "server_timing": None, field: value}
    for text in texts(**changes):
        assert text.isprintable()
        text.encode()


def test_no_line_is_long() -> None:
    """A line of the log has at most 1,000 characters, whatever a client or the API has sent."""
    shown = texts(path=f"/{'x' * 8_000_000}", error_message="y" * 8_000_000)
    assert max(map(len, shown)) == MAX_LINE_LENGTH + 1 == 1_001


def test_a_path_without_its_version() -> None:
    """A 404 at a path without /v1 is explained, other calls are not."""
    hint = "  the path does not begin with /v1: end your client's base_url in /v1"
    assert hint in texts(status_code=404, path="/chat/completions")
    assert hint not in texts(status_code=404)
    assert hint not in texts(path="/chat/completions")

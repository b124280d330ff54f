"""A table of recorded calls, with the causes that `mpal why` finds."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from moonpalace_addons.store.state import State
from tests.cli.conftest import Mpal, Store

SECOND = 1_000_000_000
LEFT: dict[str, object] = {
    "state": State.CLIENT_DISCONNECTED,
    "error_kind": "client_disconnected",
    "finish_reason": None,
}
CUT: dict[str, object] = {"state": State.UPSTREAM_FAILED, "error_kind": "upstream_cut", "finish_reason": None}
STREAM: dict[str, object] = {"is_stream": True, "response_content_type": "text/event-stream"}
LOOP = "The rabbit grinds its medicine every night. " * 60


def request_body(**members: object) -> bytes:
    """Return a request."""
    return json.dumps({"model": "kimi-k3", "messages": [{"role": "user", "content": "hello"}], **members}).encode()


def answer_body(**message: object) -> bytes:
    """Return an answer with this message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice]}).encode()


def calling(arguments: str) -> bytes:
    """Return an answer that calls a tool."""
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": arguments}}
    return answer_body(content=None, tool_calls=[call])


@dataclass(frozen=True, slots=True)
class Case:
    """A stored call, and parts of the evidence and the advice; without evidence there must be no reason."""

    name: str
    evidence: str
    advice: str
    changes: dict[str, object] = field(default_factory=dict)
    request: bytes = request_body()
    response: bytes | None = answer_body(content="hi")
    events: bytes | None = None
    chunks: tuple[tuple[int, int], ...] = ()


CASES = (
    Case("whole", "", ""),
    Case("whole tools", "", "", {"finish_reason": "tool_calls"}, response=calling('{"q": "x"}')),
    Case(
        "max_tokens",
        "cut at 16 tokens; the request allows 16",
        "raise max_completion_tokens",
        {"finish_reason": "length", "completion_tokens": 16},
        request_body(max_tokens=16),
    ),
    Case(
        "reasoning",
        "cut at 48 tokens, and 45 of them were reasoning",
        "counts reasoning too",
        {"finish_reason": "length", "completion_tokens": 48, "reasoning_tokens": 45},
    ),
    Case("Anthropic's max_tokens", "the answer was cut at 7 tokens", "set", {"finish_reason": "max_tokens"}),
    Case(
        "full context",
        "prompt and answer together fill the model's context",
        "shorten the history",
        {"finish_reason": "length", "warnings": ("x; the context window of 8192 tokens is full",)},
    ),
    Case(
        "prompt too long",
        "exceeded model token limit",
        "shorten the history",
        {
            "status_code": 400,
            "error_kind": "invalid_request_error",
            "error_message": "exceeded model token limit: 8192",
        },
    ),
    Case("loop", "the answer repeats itself from character", "--detect-repeat", response=answer_body(content=LOOP)),
    Case(
        "loop in reasoning",
        "the answer repeats itself",
        "--detect-repeat",
        response=answer_body(reasoning_content=LOOP),
    ),
    Case(
        "interrupted loop",
        "MoonPalace ended the answer: choice 0",
        "frequency_penalty",
        {"state": State.REPEAT_INTERRUPTED, "error_kind": "repeat", "error_message": "choice 0, content: a loop"},
    ),
    Case(
        "wrong host",
        "401 from https://api.moonshot.cn: it does not know this key",
        "not interchangeable: try --endpoint https://api.moonshot.ai",
        {"status_code": 401, "key_fingerprint": "f", "error_kind": "invalid_authentication_error"},
    ),
    Case(
        "no key",
        "the request had no key",
        "api_key",
        {"status_code": 401, "key_fingerprint": None, "error_kind": "invalid_authentication_error"},
    ),
    Case(
        "overloaded",
        "the API is overloaded",
        "wait 1 s, then try again",
        {"status_code": 429, "error_kind": "engine_overloaded_error", "retry_after": SECOND},
    ),
    Case(
        "rate limit",
        "429 rate limit reached error; 0 calls with this key began in the minute before",
        "fewer calls at a time",
        {"status_code": 429, "error_kind": "rate_limit_reached_error"},
    ),
    Case(
        "quota",
        "429 exceeded current quota error: no money",
        "does not help",
        {"status_code": 429, "error_kind": "exceeded_current_quota_error", "error_message": "no money"},
    ),
    Case(
        "path without /v1",
        "404: the path /chat/completions does not begin with /v1",
        "end the client's base_url in /v1",
        {"status_code": 404, "path": "/chat/completions", "error_kind": "resource_not_found_error"},
    ),
    Case(
        "unknown endpoint",
        "404: MoonPalace has no endpoint called kmi",
        "mpal config lists them",
        {"status_code": 404, "path": "/@kmi/v1/chat/completions", "error_kind": "resource_not_found_error"},
    ),
    Case(
        "unknown model",
        "the API refused the request: 404 resource not found error: no model x",
        "--print-request",
        {"status_code": 404, "error_kind": "resource_not_found_error", "error_message": "no model x"},
    ),
    Case(
        "content filter",
        "400 content filter: risky",
        "change the wording",
        {"status_code": 400, "error_kind": "content_filter", "error_message": "risky"},
    ),
    Case(
        "unknown host",
        "https://api.moonshot.cn was not reached",
        "spelling of --endpoint",
        {"state": State.UPSTREAM_FAILED, "status_code": None, "error_kind": "upstream_unknown_host"},
    ),
    Case(
        "gateway's page",
        "504 with a page of HTML, as gateways do, after 1m00s",
        "--force-stream",
        {"status_code": 504, "response_content_type": "text/html", "latency": 60 * SECOND},
    ),
    Case(
        "gateway cuts a silent connection",
        "cut after 1m00s without a byte, as gateways do",
        "--force-stream",
        {**CUT, "status_code": None, "latency": 60 * SECOND},
        response=None,
    ),
    Case(
        "upstream cut",
        "the API closed the connection after 311 bytes",
        "try again",
        {**CUT, **STREAM, "latency": 2 * SECOND},
        events=b"data: {}\n\n",
        chunks=((10, SECOND),),
    ),
    Case(
        "client gave up in a silence",
        "your program hung up after 12.0s, when nothing had come from the API for 10.0s",
        "read timeout",
        {**LEFT, **STREAM, "latency": 12 * SECOND, "longest_stall": 10 * SECOND},
        events=b"data: {}\n\n",
        chunks=((10, 2 * SECOND),),
    ),
    Case(
        "client gave up, and the answer was not kept to its end",
        "your program hung up after 12.0s, while the answer was arriving",
        "look for a timeout",
        {**LEFT, **STREAM, "latency": 12 * SECOND},
        events=b"data: {}\n\n",
        chunks=((10, 2 * SECOND),),
    ),
    Case(
        "client gave up before the answer",
        "your program hung up after 30.0s, before the API answered",
        "raise your client's timeout",
        {**LEFT, "status_code": None, "latency": 30 * SECOND},
        response=None,
    ),
    Case(
        "client left",
        "while the answer was arriving",
        "exception",
        {**LEFT, **STREAM, "latency": 2 * SECOND},
        events=b"data: {}\n\n",
        chunks=((10, 2 * SECOND),),
    ),
    Case(
        "time-out",
        "the API sent nothing for as long as --idle-timeout allows",
        "raise --idle-timeout",
        {"state": State.TIMED_OUT, "error_kind": "upstream_timeout", "finish_reason": None},
    ),
    Case("proxy died", "the proxy ended during the call", "send it again", {"state": State.PROXY_DIED}),
    Case(
        "error in the stream",
        "began with status 200 and ended in an error: server error: boom",
        "look for errors in streams",
        {"error_kind": "server_error", "error_message": "boom"},
    ),
    Case("server error", "500: boom", "the fault is the API's", {"status_code": 500, "error_message": "boom"}),
    Case(
        "no finish reason",
        "without a finish reason",
        "send it again",
        {"finish_reason": None, "warnings": ("x; the answer ended without a finish reason, it may be incomplete",)},
    ),
    Case(
        "no last event",
        "the stream ended without response.completed",
        "send it again",
        {**STREAM, "finish_reason": None, "warnings": ("the stream ended without response.completed or another",)},
    ),
    Case(
        "complete but for its last line end",
        "",
        "",
        {**STREAM, "warnings": ("the stream ended without the blank line of its last event",)},
    ),
    Case(
        "an empty stream",
        "the stream is empty",
        "send it again",
        {**STREAM, "finish_reason": None, "response_bytes": 0},
        response=None,
    ),
    Case(
        "tool arguments",
        'the arguments of the tool call search (c1) are not JSON: \'{"q": "x\'',
        "return the error to the model",
        {"finish_reason": "tool_calls"},
        response=calling('{"q": "x'),
    ),
    Case(
        "stall",
        "the stream was silent for 14.0s, from 2.0s on",
        "--timeline",
        {**STREAM, "latency": 17 * SECOND},
        events=b"data: {}\n\ndata: [DONE]\n\n",
        chunks=((10, 2 * SECOND), (24, 16 * SECOND)),
    ),
    Case(
        "silence before the end",
        "the stream was silent for 15.0s, from 2.0s on",
        "--timeline",
        {**STREAM, "latency": 17 * SECOND, "longest_stall": 15 * SECOND},
        events=b"data: {}\n\ndata: [DONE]\n\n",
        chunks=((10, SECOND), (24, 2 * SECOND)),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reasons(store: Store, mpal: Mpal, case: Case) -> None:
    """Each cause is found from the store, with its advice; a complete answer has none."""
    row_id = store.add(
        request=case.request, response=case.response, events=case.events, chunks=case.chunks, **case.changes
    )
    result = mpal("why", str(row_id), "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)["reasons"]
    if not case.evidence:
        assert document == []
        return
    assert case.evidence in document[0]["evidence"]
    assert case.advice in document[0]["advice"]


@pytest.mark.parametrize("status", [200, 201])
def test_the_key_is_accepted_elsewhere(store: Store, mpal: Mpal, status: int) -> None:
    """If another call shows at which host the key works, that is the evidence."""
    store.add(key_fingerprint="f", endpoint="https://api.moonshot.ai", status_code=status)
    store.add(key_fingerprint="f", status_code=401)
    document = json.loads(mpal("why", "--json").out)["reasons"]
    assert document == [
        {
            "evidence": "401 from https://api.moonshot.cn, but https://api.moonshot.ai accepted the same key",
            "advice": "use it there: --endpoint https://api.moonshot.ai",
        }
    ]


def test_a_lost_cache(store: Store, mpal: Mpal) -> None:
    """A long prompt that continues another one, with a change at its beginning, lost its cache."""
    turns = [{"role": "system", "content": "12:00 " + "x" * 500}, {"role": "user", "content": "a"}]
    store.add(request=request_body(messages=turns), prompt_tokens=1500, cached_tokens=1024)
    changed = [{"role": "system", "content": "12:01 " + "x" * 500}, *turns[1:], {"role": "user", "content": "b"}]
    store.add(request=request_body(messages=changed), prompt_tokens=1600, cached_tokens=0)
    (found,) = json.loads(mpal("why", "--json").out)["reasons"]
    assert "though it continues call 1, from which it differs in message 1" in found["evidence"]
    assert "mpal cache why 2" in found["advice"]


def test_a_loop_that_ends_at_a_limit(store: Store, mpal: Mpal) -> None:
    """The loop is the reason, not the limit at which it ended: raising that is not advised."""
    store.add(finish_reason="length", completion_tokens=5175, response=answer_body(content=LOOP))
    (found,) = json.loads(mpal("why", "--json").out)["reasons"]
    assert "the answer repeats itself" in found["evidence"]


@pytest.mark.parametrize(
    ("response", "advice"), [(b"", "try again"), (b"data: {}", "try again; the part that arrived is stored")]
)
def test_a_cut_before_any_answer(store: Store, mpal: Mpal, response: bytes, advice: str) -> None:
    """Only received data is called stored."""
    values: dict[str, Any] = {**CUT, "response_bytes": len(response), "latency": SECOND}
    store.add(**values, status_code=None, response=response or None)
    (found,) = json.loads(mpal("why", "--json").out)["reasons"]
    assert found["advice"] == advice


def test_text(store: Store, mpal: Mpal) -> None:
    """Evidence comes first, followed by the advice; a call without a fault says so."""
    store.add()
    store.add(finish_reason="length")
    assert mpal("why").out == (
        "#2 cut by max_tokens\n"
        "the answer was cut at 7 tokens\n"
        "→ set max_completion_tokens to more than that: the request names no limit, and the API has one\n"
    )
    assert mpal("why", "1").out.startswith("#1 stop\nnothing that is stored shows a fault")

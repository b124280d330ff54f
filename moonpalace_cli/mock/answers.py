"""Answers of the API as values: status, headers, and a body or a stream."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

from moonpalace_cli.mock.chat_request import ChatRequest, Json
from moonpalace_cli.mock.chunks import Streaming, as_chunks, chunk_head
from moonpalace_cli.mock.completions import Completion, Fields, as_answer, completion_tokens, limited, reasoning_tokens
from moonpalace_cli.mock.failures import Failure
from moonpalace_cli.mock.scenarios import PROMPT, Delivery, Scenario
from moonpalace_cli.mock.spelling import DONE, Piece

type Headers = tuple[tuple[str, str], ...]

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
STREAM_TYPE = "text/event-stream; charset=utf-8"
EVENTS_BEFORE_ERROR = 2

# The account is the same for every key: an answer must not reveal anything about a key.
ACCOUNT: Headers = (
    ("Msh-Uid", "mock-user-cn0psmmcp7fclnphkcpg"),
    ("Msh-Gid", "mock-tier-5"),
    ("Msh-Org-Id", "org-mock-0a1b2c3d4e5f"),
    ("Msh-Project-Id", "proj-mock-6a7b8c9d0e1f"),
    ("Msh-Trace-Mode", "on"),
)
FIRST_MOMENT = 1_760_000_000  # seconds since 1970; answers appear to be created in the following months
_BASE_MILLISECONDS = 20
_MILLISECONDS_PER_TOKEN = 4

# One encoder for all: making one costs more than encoding a chunk with it.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: `stream` is its body in pieces; without one, the body is `body`."""

    status: int
    headers: Headers
    body: bytes = b""
    stream: Iterator[Piece] | None = None
    total_events: int = 0
    delivery: Delivery = PROMPT
    model: str = ""


def json_answer(digest: str, value: Json, status: int = 200) -> Answer:
    """Answer with a JSON value; the request id is derived from `digest`."""
    return Answer(status, _headers(digest, JSON_TYPE, 0), _bytes(_encode(value)))


def bytes_answer(digest: str, content: bytes) -> Answer:
    """Answer with bytes of an unspecified type."""
    return Answer(200, _headers(digest, "application/octet-stream", 0), content)


def failure_answer(digest: str, failure: Failure) -> Answer:
    """Answer with an error."""
    if failure.html:
        return Answer(failure.status, _headers(digest, HTML_TYPE, 0), failure.html.encode())
    answer = json_answer(digest, {"error": _error(failure)}, failure.status)
    if failure.retry_after is None:
        return answer
    return replace(answer, headers=(*answer.headers, ("Retry-After", str(failure.retry_after))))


def chat_answer(request: ChatRequest, scenario: Scenario, cache: tuple[str, int] | None = None) -> Answer:
    """Answer a chat request by the scenario; `cache` is the context cache that it uses, and the tokens saved."""
    if scenario.failure is not None:
        return failure_answer(request.digest, scenario.failure)
    if scenario.breaks_off is not None and not request.stream:
        return failure_answer(request.digest, scenario.breaks_off)
    completion = completion_of(request, scenario)
    streaming = Streaming(scenario.cut, scenario.interleaved, request.include_usage)
    headers = completion_headers(request, scenario, completion, cache)
    if request.stream:
        return _streamed(headers, completion, streaming, scenario)
    waits = len(as_chunks(completion, streaming)) if scenario.delivery.pause else 0
    body = scenario.spelling.encode(_bytes(_encode(scenario.edit_answer(as_answer(completion)))))
    return Answer(200, headers, body, delivery=as_one_wait(scenario.delivery, waits))


def completion_of(request: ChatRequest, scenario: Scenario) -> Completion:
    """Return the completion for a request by the scenario."""
    budget = request.budget or scenario.budget
    choices = tuple(limited(choice, budget) for choice in scenario.script(request))
    return Completion(
        id=f"chatcmpl-{request.digest[:32]}",
        created=FIRST_MOMENT + int(request.digest[:6], 16),
        model=request.model,
        choices=choices,
        prompt_tokens=request.prompt_tokens,
        cached_tokens=request.cached_tokens,
        completion_tokens=sum(map(completion_tokens, choices)),
        reasoning_tokens=sum(map(reasoning_tokens, choices)),
    )


def _streamed(headers: Headers, completion: Completion, streaming: Streaming, scenario: Scenario) -> Answer:
    head = _encode(chunk_head(completion))[:-1]
    chunks = scenario.edit_chunks(as_chunks(completion, streaming))
    closing = [DONE] if scenario.spelling.terminated else []
    if scenario.breaks_off is not None:
        del chunks[EVENTS_BEFORE_ERROR:]
        closing = [_encode({"error": _error(scenario.breaks_off)})]
    count = len(chunks) + len(closing)
    # Encoded as they are sent: a stream of 100,000 events begins as soon as one of ten.
    payloads = chain((f"{head},{_encode(chunk)[1:]}" for chunk in chunks), closing)
    stream = scenario.spelling.pieces(payloads, count)
    return Answer(200, headers, stream=stream, total_events=count, delivery=scenario.delivery)


def as_one_wait(delivery: Delivery, waits: int) -> Delivery:
    """Replace the pauses of a stream by one wait before the headers: the answer takes as long either way."""
    return replace(delivery, before_headers=delivery.before_headers + delivery.pause * waits)


def completion_headers(
    request: ChatRequest, scenario: Scenario, completion: Completion, cache: tuple[str, int] | None = None
) -> Headers:
    """Return the headers of an answer with a completion."""
    milliseconds = _MILLISECONDS_PER_TOKEN * completion.completion_tokens
    headers = _headers(request.digest, STREAM_TYPE if request.stream else JSON_TYPE, milliseconds)
    headers += (("Msh-Cache", "hit" if request.cached_tokens else "updated"),)
    if request.stream:
        headers += (("Cache-Control", "no-cache"),)
    if cache is not None:
        cache_id, saved = cache
        headers += (("Msh-Context-Cache-Id", cache_id), ("Msh-Context-Cache-Token-Saved", str(saved)))
    return headers + scenario.headers


def _headers(digest: str, content_type: str, milliseconds: int) -> Headers:
    return (
        ("Content-Type", content_type),
        ("Msh-Request-Id", _request_id(digest)),
        *ACCOUNT,
        ("Server-Timing", f"inner; dur={_BASE_MILLISECONDS + milliseconds}"),
    )


def _request_id(digest: str) -> str:
    return "-".join((digest[-32:-24], digest[-24:-20], digest[-20:-16], digest[-16:-12], digest[-12:]))


def _error(failure: Failure) -> Fields:
    return {"message": failure.message, "type": failure.kind}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")

"""Recorded calls, and what a good explanation of each must name.

They are the kinds of errors in the API's documents, those of other servers, and mistakes of clients. `names` are the
words of the cause and of the remedy, in lower case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from moonpalace_addons.store.state import State
from tests.cli.explaining.recording import CHAT, SECOND, chat, refusal

EVENTS = "text/event-stream"
HTML = "text/html"


def reply(content: object = "hi", finish: str | None = "stop", **message: object) -> dict[str, object]:
    """Return an answer."""
    fields = {"role": "assistant", "content": content, **message}
    return {
        "id": "chatcmpl-1",
        "model": "kimi-k3",
        "choices": [{"index": 0, "message": fields, "finish_reason": finish}],
    }


def stream(*events: str) -> bytes:
    """Return a stream."""
    return "".join(f"data: {event}\n\n" for event in events).encode()


def delta(text: str, finish: str = "null") -> str:
    """Return an event of a stream."""
    return f'{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}'


CALLED = {"id": "call_7", "type": "function", "function": {"name": "search", "arguments": "{}"}}
USER = {"role": "user", "content": "hello"}
LEFT = {"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected", "error_message": "the client left"}
FAILED = {"state": State.UPSTREAM_FAILED}


@dataclass(frozen=True, slots=True)
class Case:
    """A recorded call, and what must be named; `ended` and the rest are parameters of `recording.call`."""

    name: str
    names: Sequence[str]
    status: int | None = 200
    answer: object = field(default_factory=reply)
    body: object = field(default_factory=chat)
    content_type: str = "application/json"
    path: str = CHAT
    headers: Sequence[str] = ()
    answer_headers: Sequence[str] = ()
    at: int = SECOND
    pieces: Sequence[tuple[int, bytes]] = ()
    asked: Mapping[str, object] = field(default_factory=dict)
    ended: Mapping[str, object] = field(default_factory=dict)


DOCUMENTED = (
    Case(
        "temperature out of range",
        ["temperature", "between 0 and 1"],
        400,
        refusal("invalid_request_error", "invalid temperature: only values between 0 and 1 are allowed"),
        chat(temperature=3),
    ),
    Case(
        "prompt too long",
        ["token limit", "shorten"],
        400,
        refusal("invalid_request_error", "Invalid request: Your request exceeded model token limit: 8192"),
    ),
    Case(
        "content filter",
        ["filter", "wording"],
        400,
        refusal("content_filter", "The request was rejected because it was considered high risk"),
    ),
    Case(
        "result of an unknown tool call",
        ["tool", "call_9", "message 3"],
        400,
        refusal("invalid_request_error", "tool_call_id  is not found"),
        chat(
            USER,
            {"role": "assistant", "content": "", "tool_calls": [CALLED]},
            {"role": "tool", "tool_call_id": "call_9"},
        ),
    ),
    Case(
        "tool call without a result",
        ["tool", "call_7", "message 2"],
        400,
        refusal("invalid_request_error", "an assistant message with 'tool_calls' must be followed by tool messages"),
        chat(USER, {"role": "assistant", "content": "", "tool_calls": [CALLED]}, USER),
    ),
    Case(
        "empty message of the assistant",
        ["empty", "message 2"],
        400,
        refusal("invalid_request_error", "the message at position 1 with role 'assistant' must not be empty"),
        chat(USER, {"role": "assistant", "content": ""}, USER),
    ),
    Case(
        "an image for a model without eyes",
        ["image", "model"],
        400,
        refusal("invalid_request_error", "Image input not supported for model kimi-k2"),
    ),
    Case(
        "a body that is no JSON",
        ["json"],
        400,
        refusal("invalid_request_error", "failed to parse request body"),
        b'{"model": "kimi-k3", "messages": [',
    ),
    Case(
        "key of the other host",
        ["key", "api.moonshot.ai"],
        401,
        refusal("invalid_authentication_error", "Invalid Authentication"),
        asked={"api_key": b"sk-x"},
    ),
    Case(
        "no key",
        ["no key", "api_key"],
        401,
        refusal("incorrect_api_key_error", "Incorrect API key provided"),
    ),
    Case(
        "key of another vendor",
        ["key", "typing"],
        401,
        refusal("incorrect_api_key_error", "Incorrect API key provided"),
        asked={"api_key": b"sk-x", "endpoint": "https://llm.example.org"},
    ),
    Case(
        "no permission",
        ["permission"],
        403,
        refusal("permission_denied_error", "The API you are accessing is not open"),
    ),
    Case(
        "unknown model",
        ["model", "kimi-k9"],
        404,
        refusal("resource_not_found_error", "Not found the model kimi-k9 or Permission denied"),
        chat(model="kimi-k9"),
    ),
    Case(
        "path without /v1",
        ["/v1", "base_url"],
        404,
        refusal("resource_not_found_error", "url.not_found"),
        path="/chat/completions",
    ),
    Case(
        "wrong method",
        ["method"],
        405,
        b"",
        b"",
        content_type="",
        asked={"method": "GET"},
    ),
    Case("a body that is too large", ["too large", "bytes"], 413, b"<html><h1>413</h1></html>", content_type=HTML),
    Case(
        "overloaded",
        ["overloaded", "wait 2 s"],
        429,
        refusal("engine_overloaded_error", "The engine is currently overloaded, please try again later"),
        answer_headers=["Retry-After: 2"],
    ),
    Case(
        "rate limit",
        ["rate limit", "fewer calls"],
        429,
        refusal("rate_limit_reached_error", "Your account reached organization max RPM: 3"),
    ),
    Case(
        "empty account",
        ["balance", "top up"],
        429,
        refusal("exceeded_current_quota_error", "Your account is suspended due to insufficient balance"),
    ),
    Case("server error", ["api's", "try again"], 500, refusal("server_error", "The server had an error")),
    Case("unavailable", ["503", "try again"], 503, refusal("server_unavailable", "try later")),
    Case(
        "gateway's time-out",
        ["gateway", "--force-stream"],
        504,
        b"<html><h1>504 Gateway Time-out</h1></html>",
        content_type=HTML,
        at=900 * SECOND,
    ),
    Case("cut at max_tokens", ["16", "max_completion_tokens"], 200, reply("x", "length"), chat(max_tokens=16)),
    Case(
        "all of the limit went into reasoning",
        ["reasoning", "max_completion_tokens"],
        200,
        reply("", "length", reasoning_content="hm " * 40)
        | {
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 48,
                "completion_tokens_details": {"reasoning_tokens": 46},
            }
        },
        chat(max_completion_tokens=48),
    ),
)
"""Errors in the API's documents."""

DIALECTS = (
    Case("code and msg", ["balance"], 200, {"code": 1113, "msg": "insufficient balance", "success": False}),
    Case(
        "base_resp",
        ["rate limit"],
        200,
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None},
    ),
    Case(
        "an error in a stream",
        ["status 200", "boom"],
        200,
        stream(delta("a"), '{"error": {"type": "server_error", "message": "boom"}}'),
        content_type=EVENTS,
    ),
    Case("no finish reason", ["without a finish reason"], 200, reply("so", None)),
    Case("no end of a stream", ["[done]"], 200, stream(delta("a"), delta("b")), content_type=EVENTS),
    Case("an empty stream", ["empty"], 200, b"", chat(stream=True), content_type=EVENTS),
    Case(
        "answer stopped by a filter",
        ["filter"],
        200,
        reply("The", "content_filter"),
    ),
    Case(
        "arguments that are no JSON",
        ["arguments", "search", "json"],
        200,
        reply(None, "tool_calls", tool_calls=[CALLED | {"function": {"name": "search", "arguments": '{"q": "x'}}]),
    ),
    Case("a page instead of an answer", ["html", "endpoint"], 200, b"<html><h1>Welcome</h1></html>", content_type=HTML),
    Case(
        "a redirect",
        ["redirect", "https://api.moonshot.cn"],
        301,
        b"",
        content_type=HTML,
        answer_headers=["Location: https://api.moonshot.cn/v1/chat/completions"],
    ),
)
"""Errors of other servers."""

MISTAKES = (
    Case(
        "the client's time-out",
        ["12.0s", "timeout"],
        200,
        stream(delta("a")),
        chat(stream=True),
        content_type=EVENTS,
        at=12 * SECOND,
        pieces=[(2 * SECOND, stream(delta("a")))],
        ended=LEFT,
    ),
    Case("the client gave up before the answer", ["30.0s", "timeout", "stream"], None, at=30 * SECOND, ended=LEFT),
    Case(
        "the client broke off",
        ["exception"],
        200,
        stream(delta("a")),
        chat(stream=True),
        content_type=EVENTS,
        pieces=[(SECOND * 9 // 10, stream(delta("a")))],
        ended=LEFT,
    ),
    Case(
        "the host's name is wrong",
        ["endpoint", "spelling"],
        None,
        ended=FAILED | {"error_kind": "upstream_unknown_host", "error_message": "unknown host"},
    ),
    Case(
        "an untrusted certificate",
        ["certificate", "--upstream-ca"],
        None,
        ended=FAILED | {"error_kind": "upstream_tls", "error_message": "self-signed certificate"},
    ),
    Case(
        "a silent connection is cut",
        ["1m00s", "gateway", "stream"],
        None,
        at=60 * SECOND,
        ended=FAILED | {"error_kind": "upstream_cut", "error_message": "closed"},
    ),
    Case("a loop", ["repeats", "frequency_penalty"], 200, reply("The rabbit grinds its medicine every night. " * 60)),
    Case("an answer without a word", ["empty", "answer"], 200, reply("")),
    Case(
        "the proxy is its own endpoint",
        ["endpoint", "this proxy"],
        None,
        ended=FAILED | {"error_kind": "upstream_is_this_proxy", "error_message": "the endpoint is this proxy"},
    ),
    Case(
        "a stall",
        ["14.0s", "silent"],
        200,
        stream(delta("a"), delta("b", '"stop"'), "[DONE]"),
        chat(stream=True),
        content_type=EVENTS,
        at=17 * SECOND,
        pieces=[(2 * SECOND, stream(delta("a"))), (16 * SECOND, stream(delta("b", '"stop"'), "[DONE]"))],
    ),
    Case(
        "a schema that the API refuses",
        ["response_format", "json"],
        400,
        refusal("invalid_request_error", "response_format: 'json_schema' must have a schema with type object"),
        chat(response_format={"type": "json_schema"}),
    ),
)
"""Mistakes of clients."""

CASES = (*DOCUMENTED, *DIALECTS, *MISTAKES)

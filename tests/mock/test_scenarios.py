"""Every scenario, with and without streaming, over real sockets."""

import json
import re
from typing import Any

import httpx
import pytest

from moonpalace_cli.mock.scenarios import Times
from tests.scenarios.all_scenarios import scenarios

type Fields = dict[str, Any]

NAMES = sorted(scenarios(Times()))
BROKEN = {"mock-cut", "mock-reset", "mock-reset-early", "mock-stall"}
FAILURES = {
    "mock-400": (400, "invalid_request_error"),
    "mock-400-filter": (400, "content_filter"),
    "mock-401": (401, "invalid_authentication_error"),
    "mock-403": (403, "permission_denied_error"),
    "mock-404": (404, "resource_not_found_error"),
    "mock-429": (429, "engine_overloaded_error"),
    "mock-429-rate": (429, "rate_limit_reached_error"),
    "mock-429-quota": (429, "exceeded_current_quota_error"),
    "mock-500": (500, "server_error"),
    "mock-503": (503, "server_unavailable"),
    "mock-echo-key": (401, "incorrect_api_key_error"),
}
PAGES = {"mock-html": 200, "mock-504-html": 504}
ANSWERED = [name for name in NAMES if name not in BROKEN | set(FAILURES) | set(PAGES) | {"mock-error-in-stream"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    }
    for name in ("get_weather", "get_tide")
]


def request_body(model: str, **more: object) -> Fields:
    """Return a request body."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Tell me of the 月亮 tonight 🌙"},
    ]
    return {"model": model, "messages": messages, "tools": TOOLS, **more}


def payloads(body: bytes) -> list[str]:
    """Return the data of each event of a stream, including a last one without an end."""
    lines = re.split(r"\r\n|\r|\n", body.decode())
    return [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]


def merge(body: bytes) -> Fields:
    """Merge the chunks of a stream, relying only on what the API promises."""
    merged: Fields = {}
    choices: dict[int, Fields] = {}
    for payload in payloads(body):
        if payload == "[DONE]":
            continue
        chunk = json.loads(payload)
        merged |= {"id": chunk["id"], "created": chunk["created"], "model": chunk["model"]}
        merged |= {"usage": chunk["usage"]} if "usage" in chunk else {}
        for row in chunk["choices"]:
            merged = ({"usage": row["usage"]} if "usage" in row else {}) | merged
            merge_row(choices.setdefault(row["index"], {"message": {}, "calls": {}, "logprobs": []}), row)
    merged["choices"] = [finished(index, choices[index]) for index in sorted(choices)]
    return merged | {"object": "chat.completion"}


def merge_row(choice: Fields, row: Fields) -> None:
    """Merge a chunk's choice into the previous ones."""
    choice["logprobs"] += row.get("logprobs", {}).get("content", [])
    choice["finish_reason"] = row["finish_reason"]
    for field, value in row["delta"].items():
        if field == "tool_calls":
            for call in value:
                merge_call(choice["calls"], call)
        elif field == "role" or value is None:
            choice["message"][field] = value
        else:
            choice["message"][field] = choice["message"].get(field, "") + value


def merge_call(calls: dict[Any, Any], delta: Fields) -> None:
    """Merge a piece of a tool call into its call, found by index, else by id."""
    function = delta["function"]
    call = calls.setdefault(delta.get("index", delta.get("id")), {"function": {"arguments": ""}})
    call |= {name: delta[name] for name in ("id", "type") if name in delta}
    call["function"] |= {"name": function["name"]} if "name" in function else {}
    call["function"]["arguments"] += function["arguments"]


def finished(index: int, choice: Fields) -> Fields:
    """Return a choice in the format that it has without streaming."""
    message = choice["message"] | ({"tool_calls": list(choice["calls"].values())} if choice["calls"] else {})
    logprobs = {"logprobs": {"content": choice["logprobs"]}} if choice["logprobs"] else {}
    return {"index": index, "message": message, "finish_reason": choice["finish_reason"]} | logprobs


def post(client: httpx.Client, model: str, **more: object) -> httpx.Response:
    """Send a request to the mock."""
    return client.post("/v1/chat/completions", json=request_body(model, **more))


@pytest.mark.parametrize("name", [*ANSWERED, "kimi-k2.6", "moonshot-v1-8k"])
def test_the_stream_merges_into_the_answer(client: httpx.Client, name: str) -> None:
    """The merged chunks of a stream equal the answer without streaming, whatever the request asks for."""
    for more in ({}, {"stream_options": {"include_usage": True}}, {"max_tokens": 5}, {"n": 3}):
        answer = post(client, name, **more)
        stream = post(client, name, stream=True, **more)
        assert (answer.status_code, stream.status_code) == (200, 200)
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert merge(stream.content) == answer.json()
        assert answer.json()["model"] == name


@pytest.mark.parametrize("name", ANSWERED)
def test_the_same_request_gets_the_same_bytes(client: httpx.Client, name: str) -> None:
    """Only the date of an answer depends on the time."""
    for stream in (False, True):
        first, second = (post(client, name, stream=stream) for _ in range(2))
        assert first.content == second.content
        assert [header for header in first.headers.raw if header[0] != b"Date"] == [
            header for header in second.headers.raw if header[0] != b"Date"
        ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "status", "kind"), [(name, *found) for name, found in FAILURES.items()])
def test_failures(client: httpx.Client, name: str, status: int, kind: str, stream: bool) -> None:
    """A failing scenario answers with its status and error type in the API's format, never with a stream."""
    answer = post(client, name, stream=stream)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert (error["type"], set(error)) == (kind, {"type", "message"})
    assert ("retry-after" in answer.headers) == (name in {"mock-429", "mock-429-rate"})
    assert ("sk-test" in answer.text) == (name == "mock-echo-key")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_pages(client: httpx.Client, name: str, stream: bool) -> None:
    """A gateway answers with HTML, also with status 200."""
    answer = post(client, name, stream=stream)
    assert answer.status_code == PAGES[name]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<html>" in answer.text


def test_an_error_in_the_stream(client: httpx.Client) -> None:
    """An error object follows the second chunk and ends the body; without streaming it is an ordinary error."""
    results = [json.loads(payload) for payload in payloads(post(client, "mock-error-in-stream", stream=True).content)]
    assert [sorted(event) for event in results[:2]] == [["choices", "created", "id", "model", "object"]] * 2
    assert results[2:] == [post(client, "mock-error-in-stream").json()]
    assert post(client, "mock-error-in-stream").status_code == 500


@pytest.mark.parametrize("name", ["mock-echo", "mock-reasoning", "mock-two-choices", "mock-tools"])
def test_usage_stands_where_the_api_puts_it(client: httpx.Client, name: str) -> None:
    """Usage is in the last chunk's choice; on request, also in a separate chunk with the same numbers."""
    usage = post(client, name).json()["usage"]
    plain = [json.loads(found) for found in payloads(post(client, name, stream=True).content)[:-1]]
    more = post(client, name, stream=True, stream_options={"include_usage": True})
    asked_for = [json.loads(found) for found in payloads(more.content)[:-1]]
    assert [chunk for chunk in plain if "usage" in chunk] == []
    assert [chunk["choices"][0].get("usage") for chunk in plain] == [None] * (len(plain) - 1) + [usage]
    assert asked_for[:-1] == plain
    assert (asked_for[-1]["choices"], asked_for[-1]["usage"]) == ([], usage)


def test_usage_at_odd_places(client: httpx.Client) -> None:
    """One scenario has no usage at all, one has it twice in its last chunk."""
    nowhere = post(client, "mock-no-usage", stream=True, stream_options={"include_usage": True})
    assert b'usage":' not in nowhere.content
    both = json.loads(payloads(post(client, "mock-usage-both", stream=True).content)[-2])
    assert both["usage"] == both["choices"][0]["usage"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("mock-comments", rb"(?:: hb\n\nretry: 3000|: hb)\nevent: message\nid: \d+\ndata: [^\r\n]+\n\n"),
        ("mock-heartbeat", rb"(?:: hb\n\n){0,2}data: [^\r\n]+\n\n"),
        ("mock-crlf", rb"data: [^\r\n]+\r\n\r\n"),
        ("mock-cr", rb"data: [^\r\n]+\r\r"),
        ("mock-nospace", rb"data:[{\[][^\r\n]+\n\n"),
        ("mock-echo", rb"data: [^\r\n]+\n\n"),
    ],
)
def test_how_streams_are_spelled(client: httpx.Client, name: str, lines: bytes) -> None:
    """The lines of a stream are spelled as the scenario says, and the last event is [DONE]."""
    body = post(client, name, stream=True).content
    assert re.fullmatch(b"(?:" + lines + b")+", body)
    assert payloads(body)[-1] == "[DONE]"


def test_an_unterminated_stream(client: httpx.Client) -> None:
    """The last event has no line end and there is no [DONE], but the last event is complete."""
    body = post(client, "mock-unterminated", stream=True).content
    assert body.endswith(b"}")
    assert json.loads(payloads(body)[-1])["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("stream", [False, True])
def test_encodings(client: httpx.Client, encoding: str, stream: bool) -> None:
    """A compressed answer has the header, is compressed even if not requested, and has the same content."""
    body = request_body(f"mock-{encoding}", stream=stream)
    with client.stream("POST", "/v1/chat/completions", json=body, headers={"Accept-Encoding": "identity"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert b"choices" not in raw
    assert b"choices" in post(client, f"mock-{encoding}", stream=stream).content


def test_reasoning_comes_first(client: httpx.Client) -> None:
    """All reasoning is sent before the content."""
    rows = [json.loads(payload) for payload in payloads(post(client, "mock-reasoning", stream=True).content)[:-1]]
    fields = [next(iter(row["choices"][0]["delta"]), "") for row in rows]
    assert fields == sorted(fields, key=["role", "reasoning_content", "content", ""].index)
    assert {"reasoning_content", "content"} <= set(fields)


def test_reasoning_uses_up_the_budget(client: httpx.Client) -> None:
    """Of 48 tokens 45 are reasoning and none content."""
    answer = post(client, "mock-reasoning-length").json()
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 48
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 45}


def test_calls_without_index(client: httpx.Client) -> None:
    """The deltas have no index, and a piece of the first call follows the beginning of the second."""
    body = post(client, "mock-tools-noindex", stream=True).content
    rows = [json.loads(payload)["choices"][0]["delta"] for payload in payloads(body)[:-1]]
    calls = [call for row in rows for call in row.get("tool_calls", [])]
    ids = [call["id"] for call in calls]
    assert not any("index" in call for call in calls)
    assert set(ids) == {"get_weather:0", "get_tide:1"}
    assert ids.index("get_tide:1") < len(ids) - 1 - ids[::-1].index("get_weather:0")


def test_calls_at_the_same_time(client: httpx.Client) -> None:
    """The pieces of parallel calls alternate."""
    body = post(client, "mock-parallel-tools", stream=True).content
    rows = [json.loads(payload)["choices"][0]["delta"] for payload in payloads(body)[:-1]]
    assert [call["index"] for row in rows for call in row.get("tool_calls", [])][:6] == [0, 1] * 3


@pytest.mark.parametrize("name", ["mock-tools", "mock-tools-noindex", "mock-parallel-tools"])
def test_a_tool_result_ends_the_calling(client: httpx.Client, name: str) -> None:
    """After a tool's result the model answers with it, so that an agent terminates."""
    messages = [{"role": "user", "content": "Weather?"}, {"role": "tool", "tool_call_id": "a:0", "content": "Rain."}]
    choice = post(client, name, messages=messages).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Rain.", "stop")


def test_arguments_fit_the_schema(client: httpx.Client) -> None:
    """A call's arguments are JSON with the properties of the function's schema."""
    choice = post(client, "mock-tools").json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "city 示例", "days": 1}
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("name", ["mock-repeat", "mock-repeat-reasoning", "mock-repeat-tools", "mock-many"])
def test_the_number_of_events_can_be_chosen(client: httpx.Client, name: str) -> None:
    """X-Mock-Events sets the number of events with text; first, last and [DONE] are added."""
    headers = {"X-Mock-Events": "7"}
    answer = client.post("/v1/chat/completions", json=request_body(name, stream=True), headers=headers)
    assert len(payloads(answer.content)) == 7 + (4 if name == "mock-repeat-tools" else 3)


@pytest.mark.parametrize(("name", "events"), [("mock-repeat", 303), ("mock-many", 2003), ("mock-slow", 5)])
def test_how_many_events_there_are(client: httpx.Client, name: str, events: int) -> None:
    """The scenarios about numbers of events send the stated number."""
    assert len(payloads(post(client, name, stream=True).content)) == events


def test_one_big_event(client: httpx.Client) -> None:
    """A text of a megabyte is one event."""
    assert max(map(len, payloads(post(client, "mock-big", stream=True).content))) > 1 << 20


def test_empty_lists_of_choices(client: httpx.Client) -> None:
    """Two of the chunks have no choices, and no usage."""
    results = [
        json.loads(payload) for payload in payloads(post(client, "mock-empty-choices", stream=True).content)[:-1]
    ]
    assert [sorted(chunk) for chunk in results if not chunk["choices"]] == [
        ["choices", "created", "id", "model", "object"]
    ] * 2


def test_a_cookie(client: httpx.Client) -> None:
    """One scenario sets a cookie, which a proxy must not store."""
    assert "mock_session" in post(client, "mock-cookie").headers["set-cookie"]
    assert "set-cookie" not in post(client, "mock-echo").headers

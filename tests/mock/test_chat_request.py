"""Parsing of chat requests."""

import json

import pytest

from moonpalace_cli.mock.chat_request import Json, count_tokens, message_tokens, parse_chat
from moonpalace_cli.mock.failures import RejectedError
from tests.tables import for_each

HELLO: list[Json] = [{"role": "user", "content": "hello"}]


def body(**fields: Json) -> bytes:
    """Return a request with a short message."""
    return json.dumps({"model": "mock-echo", "messages": HELLO, **fields}).encode()


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("月亮", 2), ("🌙", 1), ("\ud800", 1)]
)
def test_tokens(text: str, tokens: int) -> None:
    """A token is counted for every four bytes of UTF-8, the last possibly incomplete."""
    assert count_tokens(text) == tokens


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": "abcd"}, 1),
        ({"content": None}, 0),
        ({}, 0),
        ({"content": [{"type": "text", "text": "abcd"}, {"type": "text", "text": "efgh"}]}, 2),
        ({"content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}, 1024),
        ({"content": "", "tool_calls": [{"id": "a"}]}, 4),
    ],
)
def test_tokens_of_messages(message: dict[str, Json], tokens: int) -> None:
    """Text, attachments and repeated tool calls of a message count."""
    assert message_tokens(message) == tokens


@for_each(
    ("sent", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\xff", "not valid JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        (b"{}", "messages must be"),
        (body(messages=[]), "messages must be"),
        (body(messages="hi"), "messages must be"),
        (body(messages=["hi"]), "each message"),
        (body(model=5), "model must be"),
        (body(model=""), "model must be"),
        (body(stream="yes"), "stream must be"),
        (body(max_tokens=0), "max_tokens must be"),
        (body(max_completion_tokens=-1), "max_completion_tokens must be"),
        (body(max_tokens=True), "max_tokens must be"),
        (body(n=1.5), "n must be"),
        (body(n=1000), "n must not be above 128"),
    ],
)
def test_what_is_rejected(sent: bytes, reason: str) -> None:
    """An invalid request is rejected with 400 and a reason."""
    with pytest.raises(RejectedError, match=reason) as rejected:
        parse_chat(sent)
    assert (rejected.value.failure.status, rejected.value.failure.kind) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("fields", "budget"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": None}, None),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
    ],
)
def test_budget(fields: dict[str, Json], budget: int | None) -> None:
    """The newer name of the limit takes precedence over the older."""
    assert parse_chat(body(**fields)).budget == budget


def test_what_is_read() -> None:
    """The last user message, the tools and the request for usage are found among other fields."""
    messages: list[Json] = [
        {"role": "system", "content": "s" * 4096},
        {"role": "user", "content": [{"type": "text", "text": "first"}]},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": "no"},
    ]
    tools: list[Json] = [None, {"function": {}}, {"function": {"name": "f"}}]
    request = parse_chat(
        body(messages=messages, tools=tools, stream=True, stream_options={"include_usage": True}, unknown=1)
    )
    assert (request.question, request.tool_result, request.n) == ("second", None, 1)
    assert [(tool.name, tool.parameters) for tool in request.tools] == [("f", {})]
    assert (request.stream, request.include_usage) == (True, True)
    assert request.prompt_tokens == 1024 + 2 + 2 + 1


def test_the_digest_is_that_of_the_question() -> None:
    """The digest does not depend on streaming or the order of fields, but on everything else."""
    plain = parse_chat(body(n=1)).digest
    assert parse_chat(body(stream=True, stream_options={"include_usage": True}, n=1)).digest == plain
    assert parse_chat(json.dumps({"n": 1, "messages": HELLO, "model": "mock-echo"}).encode()).digest == plain
    assert parse_chat(body(n=1, seed=2)).digest != plain

"""Prompts on the API's faces, as caches see them."""

import json
from typing import Any

import pytest

from moonpalace_cli.views.context_caches.prefix_comparison import compare
from moonpalace_cli.views.context_caches.prompts import Request, is_known, read_request
from tests.tables import for_each

MESSAGES, RESPONSES = "/anthropic/v1/messages", "/v1/responses"
MARK = {"cache_control": {"type": "ephemeral"}}


def text(words: str, **more: Any) -> dict[str, Any]:
    """Return a block of text."""
    return {"type": "text", "text": words, **more}


def read(path: str, **members: Any) -> Request:
    """Return the prompt of a request."""
    result = read_request(json.dumps({"model": "m"} | members).encode(), path)
    assert result is not None
    return result


def test_messages() -> None:
    """Of Anthropic's messages, system blocks come first, then the messages; tools are separate."""
    turn = {"role": "user", "content": "a"}
    result = read(MESSAGES, system=[text("s"), text("t")], messages=[turn], tools=[{"name": "f"}], max_tokens=9)
    assert list(map(json.loads, result.messages)) == [
        {"role": "system", "content": [text("s")]},
        {"role": "system", "content": [text("t")]},
        {"role": "user", "content": [text("a")]},
    ]
    assert result.tools == (b'{"name": "f"}',)
    assert result.parameters == {"max_tokens": b"9"}
    assert (result.block, result.is_marked) == (1, False)
    assert read(MESSAGES, system="s", messages=[turn]).messages[0] == result.messages[0]


def test_a_marker_that_wanders() -> None:
    """Cache markers are not part of a prompt, even if a text becomes a block to carry one."""
    first = read(MESSAGES, messages=[{"role": "user", "content": [text("a", **MARK)]}])
    answer = {"role": "assistant", "content": "b"}
    later = read(
        MESSAGES, messages=[{"role": "user", "content": "a"}, answer, {"role": "user", "content": [text("c", **MARK)]}]
    )
    assert compare(first, later).is_prefix


@pytest.mark.parametrize(
    ("members", "ttl", "is_marked"),
    [
        ({}, None, False),
        ({"system": [text("s", **MARK)]}, 300, True),
        ({"tools": [{"name": "f", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, 3600, True),
        ({"system": [text("s", **MARK)], "tools": [{"cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, 3600, True),
        ({"tools": [{"input_schema": {"properties": {"cache_control": {}}}}], "cache_control": {}}, 300, True),
    ],
)
def test_the_time_asked_for(members: dict[str, Any], ttl: int | None, is_marked: bool) -> None:
    """The markers have the cache's lifetime: five minutes, or an hour."""
    result = read(MESSAGES, messages=[{"role": "user", "content": "a"}], **members)
    assert (result.ttl, result.is_marked) == (ttl, is_marked)


def test_responses() -> None:
    """Of Responses, instructions come first, then the items; a text is a user's message."""
    items = [{"role": "user", "content": "a"}, {"type": "function_call", "call_id": "c", "name": "f"}]
    result = read(RESPONSES, instructions="s", input=items, tools=[{"name": "f"}], prompt_cache_retention="24h")
    assert list(map(json.loads, result.messages)) == [{"role": "system", "content": "s"}, *items]
    assert (result.ttl, result.block, len(result.tools)) == (86_400, 128, 1)
    short = read(RESPONSES, instructions="s", input="a", tools=[{"name": "f"}])
    assert compare(short, result).is_prefix
    other = read(RESPONSES, instructions="s", input=[items[0], {"type": "reasoning"}], tools=[{"name": "f"}])
    divergence = compare(result, other).divergence
    assert divergence is not None
    assert (divergence.number, divergence.role, divergence.kind) == (3, "reasoning", "changed")


def test_chat_keeps_its_bytes() -> None:
    """A chat completion's prompt is compared byte for byte."""
    body = b'{"model":"m", "messages":[{"role":"user",  "content":"a"}],"prompt_cache_retention":"24h"}'
    result = read_request(body)
    assert result is not None
    assert (result.messages, result.ttl) == ((b'{"role":"user",  "content":"a"}',), 86_400)


@for_each("path", [MESSAGES, RESPONSES, "/v1/embeddings", "/v1/models"])
@for_each("body", [b"", b"[]", b"{}", b'{"model":"m","messages":[],"input":[]}', b'{"messages":[{}]}'])
def test_no_prompt(path: str, body: bytes) -> None:
    """A request of an unknown face has no prompt."""
    assert read_request(body, path) is None
    assert is_known(path) == (path in (MESSAGES, RESPONSES))

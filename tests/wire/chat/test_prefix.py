"""The prefixes of a chat request, and the requests made from them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from moonpalace_addons.wire.chat.prefix import (
    Content,
    cache_request,
    family,
    key_hint,
    prefixes,
    read_content,
    with_member,
)
from tests.tables import for_each

SYSTEM = {"role": "system", "content": "s" * 100}
USER = {"role": "user", "content": "u" * 100}
ANSWER = {"role": "assistant", "content": "a" * 100}
TOOL = {"type": "function", "function": {"name": "weather"}}


def content_of(messages: list[Any], **more: Any) -> Content:
    """Return the content of a request."""
    content = read_content(json.dumps({"model": "kimi-k3", "messages": messages, **more}).encode())
    assert content is not None
    return content


def digests(content: Content) -> list[bytes]:
    """Return the hashes of the prefixes."""
    return [prefix.digest for prefix in prefixes(content)]


def test_beginnings_over_half() -> None:
    """Only prefixes that cover more than half count, longest first, each with its messages and bytes."""
    one, two = len(json.dumps(SYSTEM)), len(json.dumps(USER))
    found = prefixes(content_of([SYSTEM, USER, USER, USER]))
    assert [(prefix.messages, prefix.size) for prefix in found] == [
        (4, one + 3 * two),
        (3, one + 2 * two),
        (2, one + two),
    ]
    equal = {"role": "user", "content": "x"}
    assert [prefix.messages for prefix in prefixes(content_of([equal, equal]))] == [2]


def test_a_longer_history_begins_with_the_shorter() -> None:
    """The hash of a whole request is among those of the request that continues it."""
    short = digests(content_of([SYSTEM, USER], tools=[TOOL]))
    longer = digests(content_of([SYSTEM, USER, ANSWER], tools=[TOOL]))
    assert longer[1:] == short[:1]
    assert longer[0] not in short


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a role": lambda body: body["messages"][0].update(role="user"),
    "a name": lambda body: body["messages"][0].update(name="n"),
    "a text": lambda body: body["messages"][0].update(content="S" + "s" * 99),
    "a text in parts": lambda body: body["messages"][0].update(content=[{"type": "text", "text": "s" * 100}]),
    "an image": lambda body: body["messages"][1]["content"][0]["image_url"].update(url="data:2"),
    "tool calls": lambda body: body["messages"][2].update(tool_calls=[]),
    "the id of a tool call": lambda body: body["messages"][2]["tool_calls"][0].update(id="c2"),
    "what a tool answered to": lambda body: body["messages"][3].update(tool_call_id="c2"),
    "partial": lambda body: body["messages"][4].update(partial=False),
    "the order of messages": lambda body: body["messages"].reverse(),
    "a tool": lambda body: body["tools"][0]["function"].update(name="tide"),
    "a tool more": lambda body: body["tools"].append(TOOL),
    "no tools": lambda body: body.pop("tools"),
    "the model": lambda body: body.update(model="kimi-k2.6"),
    "a tool as a message": lambda body: body["messages"].insert(0, body["tools"].pop()),
    "the order of keys": lambda body: body["messages"].__setitem__(0, dict(reversed(body["messages"][0].items()))),
}
PLAIN = {
    "model": "kimi-k3",
    "tools": [TOOL],
    "messages": [
        SYSTEM,
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:1"}}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "weather"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        USER,
    ],
}


@for_each("change", CHANGES)
def test_what_counts(change: str) -> None:
    """Everything that the API sees of tools and messages counts: no prefix over half has the same hash."""
    changed = json.loads(json.dumps(PLAIN))
    CHANGES[change](changed)
    one, other = (read_content(json.dumps(body).encode()) for body in (PLAIN, changed))
    assert one is not None
    assert other is not None
    assert digests(one)[0] not in digests(other)
    assert digests(other)[0] not in digests(one)


@pytest.mark.parametrize(
    "body",
    [
        {"temperature": 0.5, **PLAIN},
        {name: PLAIN[name] for name in ("messages", "model", "tools")},
        {**PLAIN, "stream": True, "metadata": {"messages": []}},
    ],
)
def test_what_does_not_count(body: dict[str, object]) -> None:
    """Other parameters, their order and whitespace between elements do not count."""
    one, other = read_content(json.dumps(PLAIN).encode()), read_content(json.dumps(body).encode())
    spaced = read_content(
        json.dumps(PLAIN).replace('"messages": [', '"messages" : [\n ').replace("}, {", "} ,\n{").encode()
    )
    assert one is not None
    assert other is not None
    assert spaced is not None
    assert digests(one) == digests(other) == digests(spaced)


@for_each(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"model":"k"}',
        b'{"messages":[{}]}',
        b'{"model":1,"messages":[{}]}',
        b'{"model":"\xff","messages":[{}]}',
        b'{"model":"k","messages":[]}',
        b'{"model":"k","messages":{}}',
        b'{"model":"k","messages":["x"]}',
        b'{"model":"k","messages":[{},1]}',
        b'{"model":"k","messages":[{}],"messages":[{}]}',
        b'{"model":"k","messages":[{}],"tools":{}}',
        b'{"model":"k","messages":[{}],"tools":[1]}',
        b'{"model":"k","messages":[{}],"stream":true,"stream":false}',
    ],
)
def test_what_cannot_be_told(body: bytes) -> None:
    """A request whose content the API might read differently has none."""
    assert read_content(body) is None


def test_a_message_that_python_cannot_read() -> None:
    """A valid message with a number of more digits than Python accepts counts like any other."""
    long = '{"role":"user","partial":true,"content":' + "9" * 5000 + "}"
    content = read_content(f'{{"model":"k","messages":[{long}]}}'.encode())
    assert content is not None
    assert [prefix.size for prefix in prefixes(content)] == [len(long)]
    assert key_hint(content)


def test_no_tools_in_two_ways() -> None:
    """Null and empty tools are equivalent to none."""
    contents = [content_of([SYSTEM]), content_of([SYSTEM], tools=None), content_of([SYSTEM], tools=[])]
    assert len({prefix.digest for content in contents for prefix in prefixes(content)}) == 1


@pytest.mark.parametrize(("partial", "count"), [(True, 2), (False, 3)])
def test_a_message_to_be_continued(partial: bool, count: int) -> None:
    """No prefix ends with a message that the answer continues: it is longer in the next request."""
    found = prefixes(content_of([SYSTEM, USER, {"role": "assistant", "content": "x", "partial": partial}]))
    assert found[0].messages == count


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("moonshot-v1-8k", "moonshot-v1"),
        ("moonshot-v1-128k-vision-preview", "moonshot-v1"),
        ("moonshot-v1", "moonshot-v1"),
        ("moonshot-v10", "moonshot-v10"),
        ("kimi-k3", "kimi-k3"),
    ],
)
def test_family(model: str, expected: str) -> None:
    """The sizes of moonshot-v1 share caches, which are created under the plain name."""
    assert family(model) == expected


def test_cache_request() -> None:
    """The request for a cache has the tools and the first messages in the client's bytes."""
    body = b'{"messages":[{"a" : 1.50},\n{"b":"\\u00e9"},{"c":3}],"tools":[{"t":1e2}],"model":"moonshot-v1-8k"}'
    content = read_content(body)
    assert content is not None
    prefix = next(prefix for prefix in prefixes(content) if prefix.messages == 2)
    assert cache_request(content, prefix, 90) == (
        b'{"model":"moonshot-v1","tools":[{"t":1e2}],"messages":[{"a" : 1.50},{"b":"\\u00e9"}],"ttl":90}'
    )


def test_key_hint() -> None:
    """The hint is the same within a conversation, and differs with other instructions, first questions or tools."""
    conversation = [[SYSTEM, SYSTEM, USER], [SYSTEM, SYSTEM, USER, ANSWER, USER]]
    assert len({key_hint(content_of(messages)) for messages in conversation}) == 1
    others = [[SYSTEM, USER], [SYSTEM, SYSTEM, ANSWER], [USER, SYSTEM, SYSTEM], [SYSTEM, SYSTEM]]
    hints = {key_hint(content_of(messages)) for messages in [*conversation, *others]}
    hints.add(key_hint(content_of(conversation[0], tools=[TOOL])))
    assert len(hints) == 6


def test_with_member() -> None:
    """A member is added at the end; every other byte is unchanged."""
    body = b'{ "model":"k",\t"messages":[{}]\n}\n'
    content = read_content(body)
    assert content is not None
    assert with_member(content, "prompt_cache_key", 'x"y') == (
        b'{ "model":"k",\t"messages":[{}],"prompt_cache_key":"x\\"y"\n}\n'
    )

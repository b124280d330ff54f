"""Anthropic's messages over real sockets, with the anthropic SDK: merged, forced and interrupted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from moonpalace_addons.store.tasks import State
from moonpalace_addons.wire.faces.messages import MARK
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

if TYPE_CHECKING:
    import anthropic

MODES = {"plain": (), "forced": ("--force-stream", "--heartbeat", "0.1"), "guarded": ("--detect-repeat",)}
MODELS = ("mock-echo", "mock-reasoning", "mock-tools", "mock-parallel-tools", "mock-length")
QUESTION: dict[str, Any] = {
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello 月亮 🌙 world"}],
    "tools": [
        {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
        for name in ("weather", "tide")
    ],
}
CHANNELS = {"mock-repeat": "text", "mock-repeat-reasoning": "thinking", "mock-repeat-tools": "partial_json"}
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
FINISH_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@dataclass(frozen=True)
class Side:
    """A proxy and its mode, a client of it, and one of the mock."""

    mode: str
    proxy: Proxy
    through: anthropic.Anthropic
    direct: anthropic.Anthropic


def sdk(url: str) -> anthropic.Anthropic:
    """Return a client that does not retry."""
    import anthropic  # takes seconds, which nobody else waits for

    return anthropic.Anthropic(base_url=url, api_key="sk-e2e-client-0123456789", max_retries=0, timeout=60.0)


@pytest.fixture(scope="module", params=MODES)
def side(request: pytest.FixtureRequest, launch: Launcher, mock: MockServer) -> Iterator[Side]:
    """Provide the clients, and a proxy in each mode."""
    with (
        launch.start(*MODES[request.param], endpoint=mock.url) as proxy,
        sdk(f"{proxy.url}/anthropic") as through,
        sdk(f"{mock.url}/anthropic") as direct,
    ):
        yield Side(request.param, proxy, through, direct)


def dumped(message: anthropic.BaseModel) -> dict[str, Any]:
    """Return the fields of a message that the SDK knows."""
    known: dict[str, Any] = message.model_dump(exclude_none=True)
    return known


@pytest.mark.parametrize("model", MODELS)
def test_the_sdk_gets_the_same(side: Side, request_id: str, model: str) -> None:
    """Without a stream, with one and event by event, the SDK gets the API's answer, and the row agrees."""
    headers = {"X-Request-Id": request_id}
    expected = side.direct.messages.create(model=model, **QUESTION)
    assert dumped(side.through.messages.create(model=model, extra_headers=headers, **QUESTION)) == dumped(expected)
    with side.through.messages.stream(model=model, **QUESTION) as stream:
        assert dumped(stream.get_final_message()) == dumped(expected)
    raw = {"model": model, "stream": True, **QUESTION}
    events = [[event.to_dict() for event in client.messages.create(**raw)] for client in (side.through, side.direct)]
    assert events[0] == events[1]
    row = side.proxy.row(request_id)
    assert (row.chatcmpl_id, row.model_answered, row.state) == (expected.id, model, State.COMPLETED)
    assert (row.finish_reason, row.is_coerced) == (expected.stop_reason, side.mode == "forced")
    assert json.loads(side.proxy.bodies(row).response or b"")["content"] == dumped(expected)["content"]


def test_async(side: Side) -> None:
    """Twenty calls at once, with and without streams, get their own answers."""
    import anthropic

    async def ask(client: anthropic.AsyncAnthropic, number: int) -> str:
        question: dict[str, Any] = QUESTION | {"messages": [{"role": "user", "content": f"Say {number} 月"}]}
        if number % 2:
            answer = await client.messages.create(model="mock-echo", **question)
        else:
            async with client.messages.stream(model="mock-echo", **question) as stream:
                answer = await stream.get_final_message()
        return answer.content[0].text if answer.content[0].type == "text" else ""

    async def all_of_them() -> list[str]:
        url = f"{side.proxy.url}/anthropic"
        async with anthropic.AsyncAnthropic(base_url=url, api_key="sk-e2e", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(20)))

    assert asyncio.run(all_of_them()) == [f"Say {number} 月" for number in range(20)]


@pytest.mark.parametrize("model", MODELS)
def test_the_row_is_that_of_the_same_chat(side: Side, request_id: str, model: str) -> None:
    """The same question has the same tokens, text, calls and reason as a message and as a chat completion."""
    tools = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
        for tool in QUESTION["tools"]
    ]
    messages = [{"role": "system", "content": QUESTION["system"]}, *QUESTION["messages"]]
    with side.proxy.client() as client:
        chat = {"model": model, "messages": messages, "tools": tools, "max_tokens": 100, "stream": True}
        client.post("/v1/chat/completions", json=chat, headers={"X-Request-Id": f"{request_id}-chat"})
    with side.through.messages.stream(model=model, extra_headers={"X-Request-Id": request_id}, **QUESTION) as stream:
        stream.get_final_message()
    row, of_chat = side.proxy.row(request_id), side.proxy.row(f"{request_id}-chat")
    assert [getattr(row, name) for name in USAGE] == [getattr(of_chat, name) or 0 for name in USAGE[:4]] + [
        of_chat.reasoning_tokens
    ]
    assert row.finish_reason == FINISH_REASONS[of_chat.finish_reason or ""]
    assert row.time_to_first_token is not None
    assert row.time_to_first_visible_token is not None
    content = json.loads(side.proxy.bodies(row).response or b"")["content"]
    message = json.loads(side.proxy.bodies(of_chat).response or b"")["choices"][0]["message"]
    texts = {block["type"]: block.get("text") or block.get("thinking") for block in content}
    assert (texts.get("text", ""), texts.get("thinking")) == (message["content"], message.get("reasoning_content"))
    calls = [(block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
    functions = [call["function"] for call in message.get("tool_calls", ())]
    assert calls == [(function["name"], json.loads(function["arguments"])) for function in functions]


def test_errors(side: Side, request_id: str) -> None:
    """The SDK raises the error of the API, in a stream too, and the row has its kind."""
    import anthropic

    for client in (side.through, side.direct):
        with pytest.raises(anthropic.BadRequestError, match="temperature"):
            client.messages.create(model="mock-400", **QUESTION)
    more: dict[str, Any] = {"model": "mock-error-in-stream", "extra_headers": {"X-Request-Id": request_id}, **QUESTION}
    with (
        pytest.raises(anthropic.APIStatusError, match="server had an error"),
        side.through.messages.stream(**more) as stream,
    ):
        stream.get_final_message()
    assert side.proxy.row(request_id).error_kind == "server_error"
    with pytest.raises(anthropic.InternalServerError, match="server had an error"):
        side.through.messages.create(model="mock-error-in-stream", **QUESTION)


def test_a_slow_answer(side: Side) -> None:
    """A slow answer is the same; if its stream is forced, whitespace precedes it."""
    headers = {"X-Mock-Delay": "0.06"}
    through = side.through.messages.with_raw_response.create(model="mock-echo", extra_headers=headers, **QUESTION)
    assert dumped(through.parse()) == dumped(side.direct.messages.create(model="mock-echo", **QUESTION))
    assert through.text().startswith(" ") is (side.mode == "forced")


def test_the_conversation_is_shown(side: Side, request_id: str) -> None:
    """`mpal inspect --chat` shows instructions, tools, question, thinking, text and calls, as for a chat completion."""
    for model in ("mock-reasoning", "mock-tools"):
        headers = {"X-Request-Id": f"{request_id}-{model}"}
        with side.through.messages.stream(model=model, extra_headers=headers, **QUESTION) as stream:
            stream.get_final_message()
    rows = [side.proxy.row(f"{request_id}-{model}") for model in ("mock-reasoning", "mock-tools")]
    thought, called = (side.proxy.mpal("inspect", "--id", str(row.id), "--chat").stdout.decode() for row in rows)
    assert "weather, tide" in thought
    for words in ("Be brief.", "Hello 月亮 🌙 world", "| The user wants a short answer.", "finish reason end_turn"):
        assert words in thought
    for words in ("call weather (weather:0)", '"city": "city 示例"', "finish reason tool_use"):
        assert words in called


@pytest.fixture(scope="module")
def guarded(launch: Launcher) -> Iterator[tuple[Proxy, anthropic.Anthropic]]:
    """Provide a proxy that detects loops and forces streams, before a mock that loops slowly, and a client of it."""
    with (
        MockServer() as paced,
        launch.start("--detect-repeat", "--force-stream", endpoint=paced.url) as proxy,
        sdk(proxy.url) as client,
    ):
        yield proxy, client


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("model", CHANNELS)
def test_a_loop_is_ended(
    guarded: tuple[Proxy, anthropic.Anthropic], request_id: str, model: str, is_streamed: bool
) -> None:
    """The SDK gets a complete message, whatever loops, streamed or forced; the row and the mark have the reason."""
    more: dict[str, Any] = {"model": model, "extra_headers": {"X-Request-Id": request_id}, **QUESTION}
    more["max_tokens"] = 20_000
    proxy, client = guarded
    if is_streamed:
        with client.messages.stream(**more) as stream:
            kinds = [event.type for event in stream]
            message: anthropic.types.Message = stream.get_final_message()
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    else:
        message = client.messages.create(**more)
    assert (message.stop_reason, message.stop_sequence, len(message.content)) == ("end_turn", MARK, 1)
    row = proxy.row(request_id)
    assert (row.state, row.error_kind, row.finish_reason) == (State.REPEAT_INTERRUPTED, "repeat", "repeat")
    assert (row.error_message or "").startswith(f"block 0, {CHANNELS[model]}: a loop")
    assert json.loads(proxy.bodies(row).response or b"")["stop_sequence"] == MARK

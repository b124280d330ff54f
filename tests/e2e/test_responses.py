"""Responses over real sockets, with the openai SDK: merged, forced and interrupted; and its chat completions."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from moonpalace_addons.store.tasks import State
from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

MODES = {"plain": (), "forced": ("--force-stream", "--heartbeat", "0.1"), "guarded": ("--detect-repeat",)}
MODELS = ("mock-echo", "mock-reasoning", "mock-tools", "mock-parallel-tools", "mock-length")
FUNCTIONS = [
    {"name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for name in ("weather", "tide")
]
QUESTION: dict[str, Any] = {
    "instructions": "Be brief.",
    "input": "Hello 月亮 🌙 world",
    "tools": [{"type": "function", **each} for each in FUNCTIONS],
}
CHAT: dict[str, Any] = {
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello 月亮 🌙 world"}],
    "tools": [{"type": "function", "function": each} for each in FUNCTIONS],
}
CHANNELS = {
    "mock-repeat": "output_text",
    "mock-repeat-reasoning": "reasoning_summary_text",
    "mock-repeat-tools": "function_call_arguments",
}
USAGE = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens")
FINISH_REASONS = {"stop": "completed", "length": "max_output_tokens", "tool_calls": "completed"}


@dataclass(frozen=True)
class Side:
    """A proxy and its mode, a client of it, and one of the mock."""

    mode: str
    proxy: Proxy
    through: openai.OpenAI
    direct: openai.OpenAI


def sdk(url: str) -> openai.OpenAI:
    """Return a client that does not retry."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key="sk-e2e-client-0123456789", max_retries=0, timeout=60.0)


@pytest.fixture(scope="module", params=MODES)
def side(request: pytest.FixtureRequest, launch: Launcher, mock: MockServer) -> Iterator[Side]:
    """Provide the clients, and a proxy in each mode."""
    with (
        launch.start(*MODES[request.param], endpoint=mock.url) as proxy,
        sdk(proxy.url) as through,
        sdk(mock.url) as direct,
    ):
        yield Side(request.param, proxy, through, direct)


@pytest.mark.parametrize("model", MODELS)
def test_the_sdk_gets_the_same(side: Side, request_id: str, model: str) -> None:
    """Without a stream, with one and event by event, the SDK gets the API's answer, and the row agrees."""
    headers = {"X-Request-Id": request_id}
    expected = side.direct.responses.create(model=model, **QUESTION)
    assert side.through.responses.create(model=model, extra_headers=headers, **QUESTION) == expected
    raw = {"model": model, "stream": True, **QUESTION}
    events = [[event.to_dict() for event in client.responses.create(**raw)] for client in (side.through, side.direct)]
    assert events[0] == events[1]
    if expected.status == "completed":
        finals = []
        for client in (side.through, side.direct):
            with client.responses.stream(model=model, **QUESTION) as stream:
                finals.append(stream.get_final_response())
        assert finals[0] == finals[1]
    row = side.proxy.row(request_id)
    assert (row.chatcmpl_id, row.model_answered, row.state) == (expected.id, model, State.COMPLETED)
    assert row.is_coerced == (side.mode == "forced")
    assert json.loads(side.proxy.bodies(row).response or b"") == expected.to_dict()


@pytest.mark.parametrize("model", MODELS)
def test_chat_completions_are_the_same(side: Side, model: str) -> None:
    """The same holds for chat completions, without a stream and event by event."""
    clients = (side.through, side.direct)
    wholes = [client.chat.completions.create(model=model, **CHAT).to_dict() for client in clients]
    assert wholes[0] == wholes[1]
    streams = [client.chat.completions.create(model=model, stream=True, **CHAT) for client in clients]
    events = [[event.to_dict() for event in stream] for stream in streams]
    assert events[0] == events[1]
    assert len(events[0]) > 1


def test_async(side: Side) -> None:
    """Forty calls at once, of both APIs, with and without streams, get their own answers."""

    async def chat(client: openai.AsyncOpenAI, number: int) -> str:
        question: dict[str, Any] = {"model": "mock-echo", "messages": [{"role": "user", "content": f"Say {number} 月"}]}
        if number % 2:
            return str((await client.chat.completions.create(**question)).choices[0].message.content)
        stream = await client.chat.completions.create(stream=True, **question)
        return "".join([event.choices[0].delta.content or "" async for event in stream if event.choices])

    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        question: dict[str, Any] = QUESTION | {"input": f"Say {number} 月", "model": "mock-echo"}
        if number % 2:
            return str((await client.responses.create(**question)).output_text)
        async with client.responses.stream(**question) as stream:
            final = await stream.get_final_response()
        return str(final.output_text)

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{side.proxy.url}/v1", api_key="sk-e2e", max_retries=0) as client:
            return await asyncio.gather(*(each(client, number) for each in (ask, chat) for number in range(20)))

    assert asyncio.run(all_of_them()) == [f"Say {number} 月" for number in range(20)] * 2


@pytest.mark.parametrize("model", MODELS)
def test_the_row_is_that_of_the_same_chat(side: Side, request_id: str, model: str) -> None:
    """The same question has the same tokens, text, calls and reason as a response and as a chat completion."""
    tools = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["parameters"]}}
        for tool in QUESTION["tools"]
    ]
    messages = [
        {"role": "system", "content": QUESTION["instructions"]},
        {"role": "user", "content": QUESTION["input"]},
    ]
    with side.proxy.client() as client:
        chat = {"model": model, "messages": messages, "tools": tools, "stream": True}
        client.post("/v1/chat/completions", json=chat, headers={"X-Request-Id": f"{request_id}-chat"})
    list(
        side.through.responses.create(model=model, stream=True, extra_headers={"X-Request-Id": request_id}, **QUESTION)
    )
    row, of_chat = side.proxy.row(request_id), side.proxy.row(f"{request_id}-chat")
    assert [getattr(row, name) for name in USAGE] == [getattr(of_chat, name) or 0 for name in USAGE]
    assert (row.reasoning_tokens or None) == of_chat.reasoning_tokens
    assert row.finish_reason == FINISH_REASONS[of_chat.finish_reason or ""]
    assert row.time_to_first_token is not None
    assert row.time_to_first_visible_token is not None
    output = json.loads(side.proxy.bodies(row).response or b"")["output"]
    message = json.loads(side.proxy.bodies(of_chat).response or b"")["choices"][0]["message"]
    texts = {item["type"]: (item.get("content") or item.get("summary") or [{}])[0].get("text") for item in output}
    assert (texts.get("message", ""), texts.get("reasoning")) == (message["content"], message.get("reasoning_content"))
    calls = [(item["call_id"], item["name"], item["arguments"]) for item in output if item["type"] == "function_call"]
    functions = [(call["id"], *call["function"].values()) for call in message.get("tool_calls", ())]
    assert calls == functions


def test_errors(side: Side, request_id: str) -> None:
    """The SDK raises the error of the API, in a stream too, and the row has its kind."""
    for client in (side.through, side.direct):
        with pytest.raises(openai.BadRequestError, match="temperature"):
            client.responses.create(model="mock-400", input="Hi")
    more: dict[str, Any] = {"model": "mock-error-in-stream", "input": "Hi", "stream": True}
    events = list(side.through.responses.create(extra_headers={"X-Request-Id": request_id}, **more))
    assert events == list(side.direct.responses.create(**more))
    assert events[-1].type == "error"
    assert side.proxy.row(request_id).error_kind == "server_error"


@pytest.mark.engine
def test_an_error_without_a_stream(side: Side) -> None:
    """Without a stream, also if one is forced, the SDK raises the API's error."""
    with pytest.raises(openai.InternalServerError):
        side.through.responses.create(model="mock-error-in-stream", input="Hi")


def test_texts(side: Side, request_id: str) -> None:
    """Legacy completions and embeddings are the same as without the proxy, and the rows have their numbers."""
    headers = {"X-Request-Id": request_id}
    asked: dict[str, Any] = {"model": "mock-echo", "prompt": "Hello 月亮 world"}
    expected = side.direct.completions.create(**asked)
    assert side.through.completions.create(extra_headers=headers, **asked) == expected
    streams = [list(client.completions.create(stream=True, **asked)) for client in (side.through, side.direct)]
    assert streams[0] == streams[1]
    row = side.proxy.row(request_id)
    assert (row.chatcmpl_id, row.finish_reason, row.prompt_tokens) == (expected.id, "stop", 5)
    assert row.is_coerced == (side.mode == "forced")
    assert json.loads(side.proxy.bodies(row).response or b"") == expected.to_dict()
    vectors = side.direct.embeddings.create(model="mock-embedding", input="a b c")
    headers = {"X-Request-Id": f"{request_id}-embeddings"}
    assert side.through.embeddings.create(model="mock-embedding", input="a b c", extra_headers=headers) == vectors
    row = side.proxy.row(f"{request_id}-embeddings")
    assert (row.model_answered, row.prompt_tokens, row.total_tokens) == ("mock-embedding", 2, 2)


@pytest.fixture(scope="module")
def guarded(launch: Launcher) -> Iterator[tuple[Proxy, openai.OpenAI]]:
    """Provide a proxy that detects loops and forces streams, before a mock that loops slowly, and a client of it."""
    with (
        MockServer() as paced,
        launch.start("--detect-repeat", "--force-stream", endpoint=paced.url) as proxy,
        sdk(proxy.url) as client,
    ):
        yield proxy, client


@pytest.mark.parametrize("is_streamed", [True, False])
@pytest.mark.parametrize("model", CHANNELS)
def test_a_loop_is_ended(guarded: tuple[Proxy, openai.OpenAI], request_id: str, model: str, is_streamed: bool) -> None:
    """The SDK gets a complete response, whatever loops, streamed or forced; row and response have the reason."""
    more: dict[str, Any] = {"model": model, "extra_headers": {"X-Request-Id": request_id}, **QUESTION}
    proxy, client = guarded
    if is_streamed:
        with client.responses.stream(**more) as stream:
            kinds = [event.type for event in stream]
            response: Any = stream.get_final_response()
        assert kinds[-1] == "response.completed"
        assert kinds.count("response.output_item.done") == (model != "mock-repeat-tools")
    else:
        response = client.responses.create(**more)
    assert (response.status, response.incomplete_details.reason, len(response.output)) == ("incomplete", "repeat", 1)
    row = proxy.row(request_id)
    assert (row.state, row.error_kind, row.finish_reason) == (State.REPEAT_INTERRUPTED, "repeat", "repeat")
    assert (row.error_message or "").startswith(f"output item 0, {CHANNELS[model]}: a loop")
    assert json.loads(proxy.bodies(row).response or b"")["incomplete_details"] == {"reason": "repeat"}

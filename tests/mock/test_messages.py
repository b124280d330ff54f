"""The mock's /v1/messages: the anthropic SDK, its merged streams, and the same question to the chat endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from moonpalace_addons.wire.chat.event_data import make_decoder, read_data
from moonpalace_addons.wire.faces.messages import MESSAGES
from moonpalace_cli.mock.chat_request import parse_chat
from moonpalace_cli.mock.messages_request import parse_message_request
from tests.scenarios.server import MockServer

if TYPE_CHECKING:
    import anthropic

TOOLS: list[Any] = [
    {"name": name, "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for name in ("weather", "tide")
]
QUESTION: dict[str, Any] = {
    "max_tokens": 1000,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello 月亮 🌙 world"}],
    "tools": TOOLS,
}


@pytest.fixture(scope="module", params=["", "/anthropic"])
def sdk(request: pytest.FixtureRequest, shared_mock: MockServer) -> Iterator[anthropic.Anthropic]:
    """Provide the SDK, configured for both paths of the mock."""
    import anthropic  # takes seconds, which nobody else waits for

    with anthropic.Anthropic(base_url=shared_mock.url + request.param, api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", ["mock-echo", "mock-reasoning", "mock-tools", "mock-parallel-tools", "kimi-k3"])
def test_the_sdk_merges_what_it_gets_without_streaming(sdk: anthropic.Anthropic, model: str) -> None:
    """The SDK merges a stream to the same result as without one."""
    plain = sdk.messages.create(model=model, **QUESTION)
    with sdk.messages.stream(model=model, **QUESTION) as stream:
        assert stream.get_final_message().model_dump(exclude_none=True) == plain.model_dump(exclude_none=True)


@pytest.mark.parametrize("model", ["mock-echo", "mock-reasoning", "mock-parallel-tools", "mock-length"])
def test_the_stream_merges_to_the_answer(client: httpx.Client, model: str) -> None:
    """All of the JSON is the same, including what the SDK does not know."""
    plain = client.post("/v1/messages", json=QUESTION | {"model": model})
    stream = client.post("/v1/messages", json=QUESTION | {"model": model, "stream": True})
    merger = MESSAGES.make_merger()
    for event in make_decoder().feed(stream.content):
        for value, error in read_data(event).values:
            merger.feed(value, error)
    assert (merger.result(), list(merger.doubts)) == (plain.json(), [])


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("mock-400", "BadRequestError"),
        ("mock-401", "AuthenticationError"),
        ("mock-429", "RateLimitError"),
        ("mock-nothing", "NotFoundError"),
        ("mock-error-in-stream", "InternalServerError"),
    ],
)
def test_errors(sdk: anthropic.Anthropic, model: str, error: str) -> None:
    """The SDK recognises errors, without streaming and in the stream."""
    import anthropic

    with pytest.raises(getattr(anthropic, error)):
        sdk.messages.create(model=model, **QUESTION)
    with pytest.raises(anthropic.APIStatusError), sdk.messages.stream(model=model, **QUESTION) as stream:
        stream.get_final_message()


def test_the_format_of_errors(client: httpx.Client) -> None:
    """As in the API: 400 in Anthropic's format, 401 in OpenAI's."""
    assert client.post("/v1/messages", json={"messages": []}).json()["type"] == "error"
    assert client.post("/v1/messages", json=QUESTION | {"max_tokens": None}).status_code == 400
    answer = client.post("/v1/messages", json=QUESTION, headers={"Authorization": "", "X-Api-Key": "sk-wrong"})
    assert (answer.status_code, list(answer.json())) == (401, ["error"])


def test_the_same_question() -> None:
    """A conversation with tools has the same number of tokens, and the same answer, as at the chat endpoint."""
    question = QUESTION | {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "source": {}}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "text", "text": "Let me see"},
                    {"type": "tool_use", "id": "t", "name": "weather", "input": {"city": "上海"}},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "sun"}]}],
            },
        ]
    }
    call = {"id": "t", "type": "function", "function": {"name": "weather", "arguments": '{"city": "上海"}'}}
    chat = {
        "max_tokens": 1000,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
            {"role": "assistant", "content": "Let me see", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t", "content": "sun"},
        ],
        "tools": [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}}
            for tool in TOOLS
        ],
    }
    result = parse_message_request(json.dumps(question).encode())
    expected = parse_chat(json.dumps(chat).encode())
    for name in ("question", "tool_result", "tools", "budget", "prompt_tokens", "offered"):
        assert getattr(result, name) == getattr(expected, name), name

"""The mock's /v1/responses, /v1/completions and /v1/embeddings: the openai SDK, and their merged streams."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from moonpalace_addons.wire.faces.completions import COMPLETIONS
from moonpalace_addons.wire.faces.responses import RESPONSES
from moonpalace_cli.mock.chat_request import parse_chat
from moonpalace_cli.mock.responses_request import parse_response_request
from tests.scenarios.server import MockServer
from tests.wire.merging import decoded, merge_events

TOOLS: list[Any] = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    for name in ("weather", "tide")
]
QUESTION: dict[str, Any] = {"instructions": "Be brief.", "input": "Hello 月亮 🌙 world", "tools": TOOLS}
MODELS = ("mock-echo", "mock-reasoning", "mock-tools", "mock-parallel-tools", "mock-length", "kimi-k3")


@pytest.fixture(scope="module")
def sdk(shared_mock: MockServer) -> Iterator[openai.OpenAI]:
    """Provide the SDK, configured for the mock."""
    with openai.OpenAI(base_url=f"{shared_mock.url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", [model for model in MODELS if model != "mock-length"])
def test_the_sdk_merges_what_it_gets_without_streaming(sdk: openai.OpenAI, model: str) -> None:
    """The SDK merges a stream to the same result as without one."""
    plain = sdk.responses.create(model=model, **QUESTION)
    with sdk.responses.stream(model=model, **QUESTION) as stream:
        final = stream.get_final_response().to_dict()
    for item in final["output"]:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or ():
            part.pop("parsed", None)
    assert final == plain.to_dict()


@pytest.mark.parametrize("model", MODELS)
def test_the_stream_merges_to_the_answer(client: httpx.Client, model: str) -> None:
    """All of the JSON is the same, including what the SDK does not know, and the events agree with the last one."""
    plain = client.post("/v1/responses", json=QUESTION | {"model": model}).json()
    stream = client.post("/v1/responses", json=QUESTION | {"model": model, "stream": True})
    events = decoded([stream.content])
    assert merge_events(events, RESPONSES) == plain
    before = merge_events(events[:-1], RESPONSES)
    assert before is not None
    assert before["output"] == plain["output"]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("mock-400", openai.BadRequestError),
        ("mock-401", openai.AuthenticationError),
        ("mock-429", openai.RateLimitError),
        ("mock-nothing", openai.NotFoundError),
        ("mock-error-in-stream", openai.InternalServerError),
    ],
)
def test_errors(sdk: openai.OpenAI, model: str, error: type[openai.APIStatusError]) -> None:
    """The SDK recognises errors; in a stream it passes on the event."""
    with pytest.raises(error):
        sdk.responses.create(model=model, input="Hi")
    if model == "mock-error-in-stream":
        events = list(sdk.responses.create(model=model, input="Hi", stream=True))
        assert [event.type for event in events] == ["response.created", "response.in_progress", "error"]


def test_the_same_question_as_a_chat() -> None:
    """Instructions, items and tools equal those of the equivalent chat request."""
    call = {"type": "function_call", "call_id": "c", "name": "tide", "arguments": "{}"}
    items = [{"role": "user", "content": "Hi"}, {"type": "reasoning", "summary": []}, call]
    asked = {"instructions": "Be brief.", "tools": TOOLS, "max_output_tokens": 9}
    told = [*items, {"type": "function_call_output", "call_id": "c", "output": "low"}]
    result = parse_response_request(json_of({**asked, "input": told}))
    function = {"name": "tide", "arguments": "{}"}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "low"},
    ]
    functions = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["parameters"]}} for tool in TOOLS
    ]
    assert result == parse_chat(json_of({"messages": messages, "tools": functions, "max_tokens": 9}))
    assert result.tool_result == "low"


def json_of(value: object) -> bytes:
    return httpx.Request("POST", "http://mock", json=value).content


@pytest.mark.parametrize("given", [None, [], {}, [3]])
def test_bad_input(client: httpx.Client, given: object) -> None:
    """An input that is neither a string nor a list of items is an error with status 400."""
    assert client.post("/v1/responses", json={"input": given}).status_code == 400
    assert client.post("/v1/completions", json={"prompt": given}).status_code == 400


@pytest.mark.parametrize("model", ["mock-echo", "mock-length"])
def test_completions(sdk: openai.OpenAI, client: httpx.Client, model: str) -> None:
    """The SDK reads the same text with and without a stream, and the stream merges to the answer."""
    plain = sdk.completions.create(model=model, prompt="Hello 月亮 world")
    chunks = list(sdk.completions.create(model=model, prompt="Hello 月亮 world", stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == plain.choices[0].text != ""
    request = {"model": model, "prompt": "Hello 月亮 world", "stream": True, "stream_options": {"include_usage": True}}
    stream = client.post("/v1/completions", json=request)
    assert merge_events(decoded([stream.content]), COMPLETIONS) == plain.to_dict()


def test_embeddings(sdk: openai.OpenAI) -> None:
    """The SDK reads the same numbers in both encodings, different ones for each text."""
    encoded = sdk.embeddings.create(model="mock-embedding", input=["a", "b"])
    plain = sdk.embeddings.create(model="mock-embedding", input=["a", "b"], encoding_format="float")
    assert [each.embedding for each in encoded.data] == [each.embedding for each in plain.data]
    assert encoded.data[0].embedding != encoded.data[1].embedding
    assert (plain.usage.prompt_tokens, plain.usage.total_tokens) == (2, 2)
    with pytest.raises(openai.BadRequestError):
        sdk.embeddings.create(model="mock-embedding", input=[])


def test_tools_of_a_namespace(client: httpx.Client) -> None:
    """Codex sends the tools of an MCP server as a namespace: the call names both."""
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    question = QUESTION | {"tools": [{"type": "namespace", "name": "mcp__sky", "tools": [tool]}], "input": "weather {}"}
    answer = client.post("/v1/responses", json=question | {"model": "mock-named-tool"}).json()
    (call,) = answer["output"]
    assert (call["namespace"], call["name"], call["arguments"]) == ("mcp__sky", "weather", "{}")

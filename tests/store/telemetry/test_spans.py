"""Calls as spans: identity, times and attributes."""

import pytest

from moonpalace_addons.store.exchange import Exchange
from moonpalace_addons.store.state import State
from moonpalace_addons.store.telemetry import parameters
from moonpalace_addons.store.telemetry.spans import CallSpan, span_of
from tests.exchanges import an_exchange
from tests.tables import for_each

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = f"Accept: */*\r\ntraceparent: 00-{TRACE}-{SPAN}-01\r\n"


def span(call: Exchange, **fields: object) -> CallSpan:
    """Return the span of a call that has one."""
    result = span_of(call, parameters.of_fields(fields))
    assert result is not None
    return result


def test_a_plain_call() -> None:
    """Its span has the model, the provider, the tokens and the times."""
    call = an_exchange(cached_tokens=5, reasoning_tokens=3, cost=0.25, cost_currency="USD", session="s-1")
    result = span(call, temperature=0.3, max_tokens=100, model="kimi-k3", stream=False)
    assert result.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "moonshot_ai",
        "gen_ai.request.model": "kimi-k3",
        "gen_ai.response.model": "kimi-k3",
        "gen_ai.response.id": "chatcmpl-00000001",
        "gen_ai.conversation.id": "s-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.reasoning.output_tokens": 3,
        "gen_ai.usage.cost": 0.25,
        "llm.cost.total": 0.25,
        "gen_ai.request.temperature": 0.3,
        "gen_ai.request.max_tokens": 100,
        "server.address": "api.moonshot.cn",
        "server.port": 443,
        "http.response.status_code": 200,
        "moonpalace.id": 1,
        "moonpalace.uuid": call.uuid,
        "moonpalace.request_id": "req-00000001-aaaa-bbbb",
        "moonpalace.cost": 0.25,
        "moonpalace.cost.currency": "USD",
    }
    assert (result.name, result.problem, result.parent) == ("chat kimi-k3", None, None)
    assert (result.began, result.ended - result.began) == (1_795_368_422 * 10**9, 1_676_003)


def test_the_same_call_gives_the_same_span() -> None:
    """Its ids are derived from the call, so that a receiver can recognize it; those of other calls differ."""
    first, again = span(an_exchange()), span(an_exchange())
    other = span(an_exchange(uuid="c0ffee00-0000-4000-8000-000000000002"))
    assert (first.trace_id, first.span_id) == (again.trace_id, again.span_id) == (1, first.span_id)
    assert first.span_id not in (0, other.span_id)
    assert span(an_exchange(uuid="imported")).trace_id not in (0, other.trace_id)


def test_a_trace_of_the_client() -> None:
    """The client's span is the parent, in its trace."""
    result = span(an_exchange(request_headers=TRACED))
    assert result.parent is not None
    assert (result.trace_id, result.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))


@pytest.mark.parametrize(
    ("changes", "reasons", "error", "problem"),
    [
        ({}, ("stop",), None, None),
        ({"finish_reason": "length"}, ("length",), None, None),
        ({"finish_reason": None}, ("error",), None, None),
        (
            {"state": State.UPSTREAM_FAILED, "error_kind": "upstream_cut", "finish_reason": None},
            ("error",),
            "upstream_cut",
            "the API broke off",
        ),
        (
            {"state": State.CLIENT_DISCONNECTED, "error_kind": "client_disconnected", "finish_reason": None},
            ("error",),
            "client_disconnected",
            "your program hung up",
        ),
        (
            {"state": State.REPEAT_INTERRUPTED, "error_kind": "repeat", "finish_reason": "repeat"},
            ("repeat",),
            None,
            None,
        ),
        (
            {"status_code": 429, "error_kind": "rate_limit_reached_error", "finish_reason": None},
            None,
            "rate_limit_reached_error",
            "429 rate limit reached",
        ),
        ({"status_code": 504, "finish_reason": None}, None, "504", "504 Gateway Timeout"),
        ({"error_kind": "server_error"}, ("error",), "server_error", "error in the answer: server error"),
        ({"state": State.PROXY_DIED, "finish_reason": None}, ("error",), "proxy_died", "proxy died"),
        ({"path": "/v1/embeddings", "finish_reason": None, "completion_tokens": None}, None, None, None),
    ],
)
def test_how_a_call_ended(
    changes: dict[str, object], reasons: tuple[str, ...] | None, error: str | None, problem: str | None
) -> None:
    """A broken answer has the finish reason `error`; a failed call has its kind, status or state."""
    result = span(an_exchange(**changes))  # type: ignore[arg-type]
    assert result.attributes.get("gen_ai.response.finish_reasons") == reasons
    assert (result.attributes.get("error.type"), result.problem) == (error, problem)


def test_a_call_that_reached_nothing() -> None:
    """Without an answer there is no finish reason."""
    result = span(an_exchange(refused=True))
    assert result.attributes["error.type"] == "connect"
    assert "gen_ai.response.finish_reasons" not in result.attributes


@pytest.mark.parametrize(
    ("method", "path", "changes", "expected"),
    [
        ("POST", "/v1/chat/completions", {}, "chat"),
        ("POST", "/anthropic/v1/messages", {}, "chat"),
        ("POST", "/v1/responses", {}, "chat"),
        ("POST", "/v1/completions", {}, "text_completion"),
        ("POST", "/v1/embeddings", {}, "embeddings"),
        ("POST", "/elsewhere", {}, "chat"),
        ("GET", "/v1/responses", {}, "chat"),
        ("POST", "/elsewhere", {"completion_tokens": None}, None),
        ("GET", "/v1/models", {"completion_tokens": None}, None),
        ("GET", "/v1/chat/completions", {"completion_tokens": None}, None),
        ("POST", "/v1/tokenizers/estimate-token-count", {"completion_tokens": None}, None),
    ],
)
def test_which_calls_have_a_span(method: str, path: str, changes: dict[str, object], expected: str | None) -> None:
    """Those that use a model, by their path or because they have tokens."""
    result = span_of(an_exchange(method=method, path=path, **changes), {})  # type: ignore[arg-type]
    assert (None if result is None else result.attributes["gen_ai.operation.name"]) == expected


@pytest.mark.parametrize(
    ("endpoint", "model", "provider", "port"),
    [
        ("https://api.moonshot.ai", "x", "moonshot_ai", 443),
        ("https://api.kimi.com/coding", "x", "moonshot_ai", 443),
        ("https://notkimi.com", "x", "notkimi.com", 443),
        ("https://api.anthropic.com", "claude", "anthropic", 443),
        ("http://127.0.0.1:8000", "Kimi-K2", "moonshot_ai", 8000),
        ("http://localhost", "qwen", "localhost", 80),
        ("http://[", "qwen", "_OTHER", None),
    ],
)
def test_the_provider(endpoint: str, model: str, provider: str, port: int | None) -> None:
    """It is known by its host, else by its models; the server is that of the API."""
    attributes = span(an_exchange(endpoint=endpoint, model_requested=model, model_answered=model)).attributes
    assert (attributes["gen_ai.provider.name"], attributes.get("server.port")) == (provider, port)


def test_a_stream() -> None:
    """It is marked as a stream, with its time to first token."""
    attributes = span(an_exchange(is_stream=True, time_to_first_token=1_500_000_000)).attributes
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == 1.5
    assert "gen_ai.request.stream" not in span(an_exchange()).attributes


def test_costs_in_another_currency() -> None:
    """Attributes in US dollars are left out."""
    attributes = span(an_exchange(cost=1.5, cost_currency="CNY")).attributes
    assert (attributes["moonpalace.cost"], attributes["moonpalace.cost.currency"]) == (1.5, "CNY")
    assert not {"gen_ai.usage.cost", "llm.cost.total"} & attributes.keys()


ASKED: list[tuple[dict[str, object], dict[str, object]]] = [
    ({"max_completion_tokens": 5, "max_tokens": 6}, {"gen_ai.request.max_tokens": 5}),
    ({"max_output_tokens": 7.0}, {"gen_ai.request.max_tokens": 7}),
    ({"n": 1, "seed": 3}, {"gen_ai.request.seed": 3}),
    (
        {"n": 2, "top_p": 1, "top_k": 4},
        {"gen_ai.request.choice.count": 2, "gen_ai.request.top_p": 1.0, "gen_ai.request.top_k": 4},
    ),
    ({"stop": "end"}, {"gen_ai.request.stop_sequences": ("end",)}),
    ({"stop_sequences": ["a", 1, "b"]}, {"gen_ai.request.stop_sequences": ("a", "b")}),
    ({"reasoning_effort": "low"}, {"gen_ai.request.reasoning.level": "low"}),
    ({"reasoning": {"effort": "high", "summary": "auto"}}, {"gen_ai.request.reasoning.level": "high"}),
    ({"output_config": {"effort": "max"}}, {"gen_ai.request.reasoning.level": "max"}),
    ({"response_format": {"type": "json_schema", "json_schema": {"a": 1}}}, {"gen_ai.output.type": "json"}),
    ({"text": {"format": {"type": "text"}}}, {"gen_ai.output.type": "text"}),
    ({"previous_response_id": "resp-1"}, {"gen_ai.request.previous_response.id": "resp-1"}),
    (
        {"dimensions": 8, "encoding_format": "base64"},
        {"gen_ai.embeddings.dimension.count": 8, "gen_ai.request.encoding_formats": ("base64",)},
    ),
    ({"temperature": "hot", "top_p": True, "max_tokens": "many", "seed": 2**80, "n": None, "stop": {"a": 1}}, {}),
    ({"temperature": float("nan"), "top_k": float("inf"), "stop": "x" * 1000, "reasoning": [], "text": 1}, {}),
]


@for_each(("fields", "expected"), ASKED)
def test_what_was_asked_for(fields: dict[str, object], expected: dict[str, object]) -> None:
    """Parameters of the request are included if they have the right kind, whatever a client sends."""
    before = span(an_exchange()).attributes
    assert {
        name: value for name, value in span(an_exchange(), **fields).attributes.items() if name not in before
    } == expected


def test_long_and_odd_texts() -> None:
    """A client's text is cut, and made encodable in UTF-8."""
    result = span(an_exchange(model_requested="m\ud800" + "x" * 100_000))
    assert len(result.name) <= 500
    assert str(result.attributes["gen_ai.request.model"]).startswith("m?xx")
    result.name.encode()


def test_long_texts_are_not_kept() -> None:
    """The common part of spans is cached, unless a client or a server has made it long."""
    assert span(an_exchange()).common is span(an_exchange(id=2, prompt_tokens=9)).common
    assert span(an_exchange(finish_reason="x" * 600)).common is not span(an_exchange(finish_reason="x" * 600)).common

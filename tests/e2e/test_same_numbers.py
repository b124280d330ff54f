"""The same call has the same tokens and cost in each of the API's formats."""

from collections.abc import Iterator

import pytest

from tests.e2e.launching import Launcher, Proxy
from tests.scenarios.server import MockServer

TEXT = "Hello 月亮 " * 30
MESSAGES = [{"role": "user", "content": TEXT}]
CALLS: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/anthropic/v1/messages": {"messages": MESSAGES, "max_tokens": 5000},
    "/v1/responses": {"input": TEXT},
}
NUMBERS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
PRICES = "prices: {mock-*: {input: 30, cached: 3, output: 60, currency: CNY}}"


@pytest.fixture(scope="module")
def priced(launch: Launcher, mock: MockServer) -> Iterator[Proxy]:
    """Provide a proxy with prices for the mock's models."""
    file = launch.folder() / "config.yaml"
    file.write_text(PRICES, encoding="utf-8")
    with launch.start(endpoint=mock.url, extra={"MOONPALACE_CONFIG": str(file)}) as running:
        yield running


@pytest.mark.parametrize("model", ["mock-echo", "mock-reasoning"])
def test_the_same_call_has_the_same_numbers(priced: Proxy, request_id: str, model: str) -> None:
    """Tokens, their parts and the cost are the same in each format, streamed or not."""
    found = {}
    with priced.client(headers={"Authorization": "Bearer sk-e2e-same-numbers-0123456789"}) as client:
        for number, (path, body) in enumerate(CALLS.items()):
            for stream in (False, True):
                identifier = f"{request_id}-{number}-{stream}"
                sent = {"model": model, "stream": stream, **body}
                answer = client.post(path, json=sent, headers={"X-Request-Id": identifier})
                assert answer.status_code == 200, answer.text
                row = priced.row(identifier)
                cached = row.cached_tokens or 0
                assert row.prompt_tokens is not None
                assert row.completion_tokens is not None
                costs = (30 * (row.prompt_tokens - cached), 3 * cached, 60 * row.completion_tokens)
                assert row.cost == pytest.approx(sum(costs) / 1_000_000)
                assert row.cost_currency == "CNY"
                found[path, stream] = [getattr(row, name) or 0 for name in NUMBERS if name != "cached_tokens"]
    assert len({tuple(numbers) for numbers in found.values()}) == 1, found

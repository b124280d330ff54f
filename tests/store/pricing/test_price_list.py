"""Tests of the prices from the package genai-prices."""

import subprocess
import sys
from datetime import UTC, datetime
from itertools import product

import pytest
from genai_prices import Usage, calc_price

from moonpalace_addons.store.pricing import price_list
from moonpalace_addons.wire.prices import Tokens, cost_of

MOMENTS = (datetime(2026, 11, 30, 2, 30, tzinfo=UTC), datetime(2025, 3, 1, 18, 0, tzinfo=UTC))
MODELS = (
    ("https://api.moonshot.cn", "kimi-k3"),
    ("https://api.moonshot.ai", "kimi-k2.6"),
    ("https://api.moonshot.cn", "moonshot-v1-8k"),
    ("https://api.anthropic.com", "claude-sonnet-4-5-20250929"),
    ("https://api.openai.com", "gpt-5.2"),
    ("https://api.deepseek.com", "deepseek-chat"),
    ("https://gw.openai.azure.com/openai", "gpt-4o"),
)
TOKENS = (Tokens(1000, 50), Tokens(1000, 50, 256), Tokens(300_000, 900, 1000, 2000, 500))


def microseconds(moment: datetime) -> int:
    """Return a time as stored in rows."""
    return int(moment.timestamp() * 1e6)


@pytest.mark.parametrize(("endpoint", "model"), MODELS)
def test_costs_are_those_of_the_package(endpoint: str, model: str) -> None:
    """For any tokens, tier and time, the cost agrees with the package's own."""
    for tokens, moment, tier in product(TOKENS, MOMENTS, (None, "flex", "standard")):
        usage = Usage(
            input_tokens=tokens.prompt,
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.written,
            cache_write_1h_tokens=tokens.written_1h,
        )
        context = {"service_tier": tier} if tier else None
        said = calc_price(
            usage, model, provider_api_url=endpoint, genai_request_timestamp=moment, price_context=context
        )
        rates = price_list.rates(endpoint, model, tier, microseconds(moment), tokens.prompt)
        assert rates is not None
        cost = cost_of(tokens, rates)
        assert cost.total == pytest.approx(float(said.total_price), abs=1e-9)
        assert cost.output == pytest.approx(float(said.output_price), abs=1e-9)


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        ("https://api.moonshot.cn", "kimi-unheard-of"),
        ("https://api.kimi.com", "kimi-k3"),  # a subscription
        ("http://127.0.0.1:11434", "kimi-k3"),
        ("https://api.perplexity.ai", "sonar"),  # calls have a price as well
    ],
)
def test_what_is_unknown_has_no_price(endpoint: str, model: str) -> None:
    """No price is better than a wrong one."""
    assert price_list.rates(endpoint, model, None, microseconds(MOMENTS[0]), 10) is None


def test_the_package_is_imported_when_it_is_needed() -> None:
    """The writer's process starts without it; only a call to a public host needs it."""
    script = """
import sys, threading
from moonpalace_addons.store.pricing import price_list
from moonpalace_addons.writer_process import server
price_list.prepare("http://127.0.0.1:1")
assert price_list.rates("http://127.0.0.1:1", "kimi-k3", None, 0, 1) is None
assert not any(name.startswith(("genai_prices", "pydantic")) for name in sys.modules)
price_list.prepare("https://api.moonshot.cn")
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
print("genai_prices" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")

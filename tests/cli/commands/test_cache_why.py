"""`mpal cache why` on all faces, and for many calls."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Mpal, Store

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PRICES = {"price_input": 3.0, "price_cached": 0.3, "cost_currency": "USD", "cost": 0.01}
SYSTEM = "Be helpful. " * 300


def turn(text: str, role: str = "user", *, marked: bool = False) -> dict[str, Any]:
    """Return a message of Anthropic's, with a cache marker if wanted."""
    if not marked:
        return {"role": role, "content": text}
    return {"role": role, "content": [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]}


@pytest.fixture
def claude(store: Store) -> Callable[..., int]:
    """Return a function that stores a call to /v1/messages, this many seconds after the start."""

    def add(
        seconds: float,
        system: str,
        *turns: str,
        cached: int = 0,
        reason: str | None = None,
        model: str = "claude",
        **more: Any,
    ) -> int:
        messages = [turn(text, marked=number == len(turns) - 1) for number, text in enumerate(turns)]
        answer = {"type": "message", "diagnostics": {"cache_miss_reason": reason}}
        values: dict[str, Any] = {"prompt_tokens": 1000 + 10 * len(turns), "cached_tokens": cached, **PRICES}
        values |= {"model_requested": model, "path": "/v1/messages", "endpoint": "https://api.anthropic.com"}
        return store.add(
            request=json.dumps({"model": model, "system": system, "messages": messages}).encode(),
            response=json.dumps(answer).encode(),
            started_at=START + timedelta(seconds=seconds),
            **(values | more),
        )

    return add


@pytest.fixture
def conversation(claude: Callable[..., int]) -> None:
    """Store a conversation whose cache was used, then changed, then expired."""
    claude(0, SYSTEM, "a")
    claude(10, SYSTEM, "a", "b", cached=1010)
    claude(20, f"It is 10:32. {SYSTEM}", "a", "b", "c", reason="system_changed")
    claude(400, f"It is 10:32. {SYSTEM}", "a", "b", "c", "d", price_input=30.0)


def test_messages(conversation: None, mpal: Mpal) -> None:
    """The system text is part of the prompt, and the API's reason is added to ours."""
    lines = mpal("cache", "why", "3").out.splitlines()
    assert lines[0] == "call 3 continues call 2, 10.0 s earlier"
    assert lines[2].startswith("diverged: message 1 (system) changed after ")
    assert lines[-4:] == [
        "tokens: 0 of 1,030 were cached; with the earlier prompt unchanged, 1,020 could have been",
        "cost: 1,020 tokens that were not cached: 0.002754 USD",
        "cause: changed: the part before the difference is too short to be cached",
        "the API says: system_changed",
    ]


def test_expired(conversation: None, mpal: Mpal) -> None:
    """A cache with a lifetime of five minutes had expired after more than six."""
    assert mpal("cache", "why", "4").out.splitlines()[-1] == (
        "cause: expired: 380 s had passed, and the cache's lifetime was 300 s"
    )
    document = json.loads(mpal("cache", "why", "4", "--json").out)
    assert (document["cause"], document["ttl"], document["seconds"], document["earlier_id"]) == (
        "expired",
        300,
        380.0,
        3,
    )
    assert (document["cost"], document["currency"]) == (pytest.approx(1030 * 29.7e-6), "USD")


def test_cached(conversation: None, mpal: Mpal) -> None:
    """A cached prompt has no cause, though its marker moved."""
    lines = mpal("cache", "why", "2").out.splitlines()
    assert "diverged: nowhere, one is a prefix of the other" in lines
    assert lines[-1] == "cost: nothing"


def test_many(conversation: None, mpal: Mpal) -> None:
    """The misses of many calls are ranked by cost, and summed by cause."""
    result = mpal("cache", "why", "--since", "2026-11-22")
    assert (result.code, result.err) == (0, "")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.out.splitlines() if "|" in line]
    assert rows[1:] == [
        ["4", "claude", "expired", "1,040", "0", "1,030", "0.0306 USD", "3", "380", ""],
        ["3", "claude", "system_changed", "1,030", "0", "1,020", "0.002754 USD", "2", "10", "message 1 changed"],
    ]
    assert result.out.splitlines()[-4:] == [
        "all misses: 2 calls, 2,050 tokens, 0.0333 USD",
        "expired: 1 call, 1,030 tokens, 0.0306 USD",
        "changed: 1 call, 1,020 tokens, 0.002754 USD",
        "1 call shares no beginning with an earlier one: 1,030 tokens, none cached",
    ]
    lines = mpal("cache", "why", "-p", "id > 1", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [4, 3]


def test_a_clock_at_the_beginning(claude: Callable[..., int], mpal: Mpal) -> None:
    """Prompts that share no message, since each begins with a clock, are misses, explained by the most similar one."""
    for number in range(3):
        claude(number, f"Time: {number}7. {SYSTEM}", f"question {number}", prompt_tokens=2000)
    claude(9, "Another " + " ".join(map(str, range(900))), "something else", prompt_tokens=2000)
    lines = mpal("cache", "why", "3").out.splitlines()
    assert lines[0] == "call 3 continues no call; call 2, 1.0 s earlier, has the most similar prompt"
    assert lines[2].startswith("diverged: message 1 (system) changed after ")
    assert "Time: 17." in lines[3]
    assert "Time: 27." in lines[4]
    result = mpal("cache", "why", "--all").out.splitlines()
    assert result[-3:] == [
        "all misses: 2 calls, 4,000 tokens, 0.0108 USD",
        "changed: 2 calls, 4,000 tokens, 0.0108 USD",
        "4 calls share no beginning with an earlier one: 8,000 tokens, none cached",
    ]
    (reason,) = json.loads(mpal("why", "3", "--json").out)["reasons"]
    assert "though its prompt is nearly that of call 2, from which it differs in message 1" in reason["evidence"]
    assert json.loads(mpal("why", "4", "--json").out)["reasons"] == []


def test_a_burst(claude: Callable[..., int], mpal: Mpal) -> None:
    """Calls that begin together are not expected to be cached for each other, and models share nothing."""
    claude(0, SYSTEM, "a", latency=5_000_000_000, prompt_tokens=2000)
    claude(0.001, SYSTEM, "b", latency=5_000_000_000, prompt_tokens=2000)
    claude(0.002, SYSTEM, "c", model="other", prompt_tokens=2000)
    lines = mpal("cache", "why", "2").out.splitlines()
    assert lines[0] == "call 2 continues call 1, 1.0 ms earlier"
    assert "if the earlier call had ended, 2,000 could have been" in lines[-3]
    assert lines[-1].startswith("cause: not ended: the earlier call was in flight when this began")
    assert mpal("cache", "why", "3").out.splitlines()[-2:] == [
        "tokens: 0 of 2,000 were cached",
        "cause: other model: models do not share caches",
    ]
    assert mpal("cache", "why", "--all").out.count("not ended") == 2
    (reason,) = json.loads(mpal("why", "2", "--json").out)["reasons"]
    assert reason["advice"].startswith("that one was in flight")
    assert json.loads(mpal("why", "3", "--json").out)["reasons"] == []


def test_no_misses(claude: Callable[..., int], mpal: Mpal) -> None:
    """If nothing was missed, it says so; calls without prompts are left out."""
    claude(0, SYSTEM, "a")
    claude(10, SYSTEM, "a", "b", cached=1010)
    claude(20, SYSTEM, "a", path="/v1/models")
    assert mpal("cache", "why", "--all").out == "none of these 3 calls missed a cache that it could have used\n"


def test_responses(store: Store, mpal: Mpal) -> None:
    """Instructions, tools and items of Responses are compared; calls to other faces are ignored."""
    for seconds, items in enumerate((["a"], ["a", "b"], ["a", "x", "c"])):
        given = [{"role": "user", "content": text} for text in items]
        body = {"model": "gpt", "instructions": SYSTEM, "input": given}
        path = "/v1/responses"
        store.add(
            request=json.dumps(body).encode(),
            path=path,
            started_at=START + timedelta(seconds=seconds),
            prompt_tokens=1500,
        )
    lines = mpal("cache", "why", "3").out.splitlines()
    assert lines[0].startswith("call 3 continues call 2")
    assert "diverged: message 3 (user) changed" in lines[2]


def test_in_the_sum(conversation: None, mpal: Mpal) -> None:
    """`mpal cost --misses` adds the cost of misses, by cause."""
    assert mpal("cost", "--misses").out.splitlines()[-3:] == [
        "all misses: 2 calls, 2,050 tokens, 0.0333 USD",
        "changed: 1 call, 1,020 tokens, 0.002754 USD",
        "expired: 1 call, 1,030 tokens, 0.0306 USD",
    ]
    assert mpal("cost", "--misses", "-p", "id < 3").out.splitlines()[-1] == "no misses"
    results = [json.loads(line) for line in mpal("cost", "--misses", "--json").out.splitlines()]
    assert [each for each in results if "misses" in each] == [
        {"misses": "all misses", "calls": 2, "lost_tokens": 2050, "cost": {"USD": pytest.approx(0.033345)}},
        {"misses": "changed", "calls": 1, "lost_tokens": 1020, "cost": {"USD": pytest.approx(0.002754)}},
        {"misses": "expired", "calls": 1, "lost_tokens": 1030, "cost": {"USD": pytest.approx(0.030591)}},
    ]
    assert [each["model"] for each in results if "model" in each] == ["kimi-k3"]
    assert '"misses"' not in mpal("cost", "--misses", "--json", "-p", "id < 3").out
    assert mpal("cost", "--misses", "-o", "csv").code == 2

"""Tests of `mpal show`."""

import json
import re

import pytest

from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import labels
from moonpalace_addons.wire.columns import width_of
from moonpalace_cli.output import visible
from moonpalace_cli.text.tables import STYLE
from moonpalace_cli.views.showing import screen as screen_module
from moonpalace_cli.views.showing.facts import read_facts
from moonpalace_cli.views.showing.reasons import reasons
from moonpalace_cli.views.showing.screen import Screen, packed
from tests.cli.conftest import Mpal, Store

SECOND = 1_000_000_000
CHINESE = "月亮上有什么？请详细说明玉兔和吴刚的故事，以及为什么答案总是在中间停下来。" * 4
MESSAGES = [
    {"role": "system", "content": "You are helpful. " * 40},
    *({"role": "user", "content": f"turn {number}"} for number in range(8)),
    {"role": "user", "content": CHINESE + "\x1b[31m"},
]
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "reasoning_content": "Let me think. " * 30,
                "content": CHINESE,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
            },
            "finish_reason": "length",
        }
    ],
}


@pytest.fixture
def rich(store: Store) -> Store:
    """Store a call with something in every section."""
    row_id = store.add(
        request=json.dumps({"model": "kimi-k2.6", "max_tokens": 256, "messages": MESSAGES}).encode(),
        response=json.dumps(ANSWER).encode(),
        events=b"data: {}\n\n",
        chunks=((5, SECOND), (10, 2 * SECOND)),
        is_stream=True,
        finish_reason="length",
        prompt_tokens=7_412,
        completion_tokens=256,
        cached_tokens=6_912,
        reasoning_tokens=12,
        time_to_first_token=812_000_000,
        latency=5 * SECOND,
        longest_stall=3 * SECOND,
        warnings=("it seems that your max_tokens value is too small, please set a larger value",),
        category="badcase",
        note="错了",
    )
    labels.change(store.engine, [row_id], labels.Change(tag=("truncated",)))
    return store


def screen(store: Store, width: int | None, *, colour: bool = False) -> list[str]:
    """Return the lines for the stored call."""
    (call,) = selection.in_order(store.engine, [1])
    facts = read_facts(store.engine, call)
    return list(Screen(facts, list(reasons(facts)), width, colour=colour).lines())


def test_sections(rich: Store, mpal: Mpal) -> None:
    """The newest call is shown, with all its data in short."""
    shown = mpal("show").out
    assert shown == mpal("show", "1").out
    assert [line.split()[0] for line in shown.splitlines()[3:] if line[:1].strip()] == [
        *("why", "asked", "answered", "tokens", "time", "cache", "warnings", "labels", "ids", "next")
    ]
    for words in (
        "#1 · kimi-k3 · POST /v1/chat/completions · stream · 2026-11-23 01:27:02",
        "\ncut by max_tokens after 5.0s\n",
        "the answer was cut at 256 tokens; the request allows 256",
        "… 4 more messages\n",
        "thinking  (420 characters) Let me think.",
        "calls     find (c) {}\n",
        "7,412 prompt (6,912 cached) + 256 completion (12 reasoning), limit 256\n",
        "longest stall 3.0s (at 2.0s, before the end)",
        "93% of the prompt was cached\n",
        "badcase · tags truncated · 错了\n",
        "mpal inspect 1 --timeline",
    ):
        assert " ".join(words.split()) in " ".join(shown.split())
    assert "\x1b" not in shown


def test_times_stay_whole(rich: Store) -> None:
    """Between two lines of the times there is a comma."""
    lines = screen(rich, 60)
    begin = next(place for place, line in enumerate(lines) if line.startswith("time"))
    end = next(place for place, line in enumerate(lines) if line.startswith("cache"))
    assert end - begin > 1
    assert all(line.endswith(",") for line in lines[begin : end - 1])


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, None])
def test_no_line_is_wider_than_the_terminal(rich: Store, width: int | None) -> None:
    """Lines fit whatever the text, with East Asian characters two columns wide."""
    assert max(map(width_of, screen(rich, width))) <= (width or 100)


@pytest.mark.parametrize("text", ["word " * 100_000, "x" * 500_000, "月" * 500_000, "\n" * 500_000 + "x"])
def test_long_texts_are_cut_first(store: Store, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Only the beginning of a text that does not fit is read; the number of its lines is then a lower bound."""
    seen: list[int] = []

    def noted(shown: str) -> str:
        seen.append(len(shown))
        return visible(shown)

    monkeypatch.setattr(screen_module, "visible", noted)
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": text}}
    message = {"role": "assistant", "reasoning_content": text, "content": text, "tool_calls": [call]}
    store.add(
        request=json.dumps({"messages": [{"role": "user", "content": text}]}).encode(),
        response=json.dumps({"choices": [{"index": 0, "message": message}]}).encode(),
    )
    lines = screen(store, 80)
    assert max(seen) <= 10_000
    assert max(map(width_of, lines)) <= 80
    (asked,) = [line for line in lines if line.startswith("asked")]
    assert asked.endswith("x" if text.endswith("\nx") else "…")
    assert text.startswith("\n") or any(re.search(r"… at least \d{3,} more lines$", line) for line in lines)


def test_colours_change_nothing_else(rich: Store) -> None:
    """With colours the screen has the same text."""
    assert [STYLE.sub("", line) for line in screen(rich, 80, colour=True)] == screen(rich, 80)


def test_a_call_without_anything(store: Store, mpal: Mpal) -> None:
    """A call without an answer only has what there is."""
    store.add(refused=True, error_kind="upstream_refused", request=b"\x00", response=None)
    result = mpal("show")
    assert result.code == 0
    assert "the API refused the connection" in result.out
    assert "tokens" not in result.out


def test_packing() -> None:
    """Commands are never broken."""
    assert packed(["a b", "c d", "e f"], 8) == ["a b  c d", "e f"]
    assert packed(["a long one"], 4) == ["a long one"]
    assert packed([], 4) == [""]


def test_odd_numbers(store: Store, mpal: Mpal) -> None:
    """No percentage over 100 is shown, and amounts are written out."""
    store.add(prompt_tokens=10, cached_tokens=50, completion_tokens=1, cost=0.00005, cost_currency="CNY")
    store.add(prompt_tokens=10, cached_tokens=5, completion_tokens=1, cost=12345.678, cost_currency="CNY")
    assert "of the prompt was cached" not in mpal("show", "1").out
    assert "cost 0.00005 CNY" in mpal("show", "1").out
    assert "cost 12,345.68 CNY" in mpal("show", "2").out

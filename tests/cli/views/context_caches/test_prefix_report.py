"""The cost of a divergence, in tokens and words; cache.py's tests compare the whole report."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from moonpalace_cli.views.context_caches.causes import Cost, cost_of
from moonpalace_cli.views.context_caches.prefix_comparison import Comparison, Divergence
from moonpalace_cli.views.context_caches.prefix_report import blocks_phrase, cost_lines, divergence_lines
from moonpalace_cli.views.context_caches.prompts import Request

REQUEST = Request("k", (), (b"x" * 500, b"y" * 500), {})


def call(prompt: int | None, cached: int | None = None) -> Any:
    """Return a call with these tokens."""
    return cast(Any, SimpleNamespace(id=7, prompt_tokens=prompt, cached_tokens=cached))


def comparison(same_bytes: int = 500, *, same_model: bool = True, divergence: Divergence | None = None) -> Comparison:
    """Return the common part of two requests."""
    return Comparison(1, 1, same_bytes, True, same_model, (), divergence)


@pytest.mark.parametrize(
    ("earlier", "later", "cached", "same_bytes", "cost"),
    [
        (600, 1000, 0, 500, Cost(1000, 0, 512, 256, 512)),
        (600, 1000, 512, 1000, Cost(1000, 512, 512, 512, 0)),
        (600, 1000, 768, 1000, Cost(1000, 768, 512, 512, 0)),
        (5000, 1000, 256, 600, Cost(1000, 256, 768, 512, 512)),
        (200, 250, None, 500, Cost(250, 0, 0, 0, 0)),
        (None, 1000, 0, 500, Cost(1000, 0, None, None, None)),
        (600, None, None, 500, Cost(None, 0, None, None, None)),
    ],
)
def test_cost(earlier: int | None, later: int | None, cached: int | None, same_bytes: int, cost: Cost) -> None:
    """The earlier prompt in whole blocks could have been cached; the rest of it is the cost."""
    assert cost_of(call(earlier), call(later, cached), REQUEST, comparison(same_bytes)) == cost


def test_another_model_keeps_nothing() -> None:
    """Models share no cache, however similar the prompts are."""
    cost = cost_of(call(600), call(1000, 0), REQUEST, comparison(1000, same_model=False))
    assert (cost.kept, cost.possible, cost.lost) == (0, 0, 0)
    assert [*map(str, cost_lines(cost, cause="other model"))] == ["tokens: 0 of 1,000 were cached"]


@pytest.mark.parametrize(
    ("divergence", "expected"),
    [
        (None, ["diverged: nowhere, one is a prefix of the other"]),
        (Divergence(2, "user", "put in", 0, "", "new"), ["diverged: message 2 (user) was inserted", "  + new"]),
        (
            Divergence(2, "", "left out", 0, "old", ""),
            ["diverged: message 2 (no role) of call 7 was removed", "  - old"],
        ),
        (
            Divergence(1, "system", "changed", 1234, "old", "new"),
            ["diverged: message 1 (system) changed after 1,234 bytes", "  - old", "  + new"],
        ),
        (
            Divergence(1, "system", "changed", 34, "old", "new", 6),
            ["diverged: message 1 (system) changed after 6 characters", "  - old", "  + new"],
        ),
    ],
)
def test_divergence(divergence: Divergence | None, expected: list[str]) -> None:
    """The message is named, with its old and its new text."""
    assert [*map(str, divergence_lines(call(1), divergence))] == expected


def test_what_a_loss_cost() -> None:
    """Lost tokens are counted, and priced if possible; an API without blocks has none."""
    assert str(cost_lines(Cost(1000, 0, 512, 0, 512))[-1]) == "cost: 512 tokens that were not cached"
    lines = [*map(str, cost_lines(Cost(1000, 0, 512, 0, 512), 1, (0.0015, "USD")))]
    assert lines[0].endswith("512 could have been")
    assert lines[1] == "cost: 512 tokens that were not cached: 0.0015 USD"


@pytest.mark.parametrize(
    ("tokens", "text"), [(0, " (0 blocks of 256)"), (256, " (1 block of 256)"), (512, " (2 blocks of 256)")]
)
def test_blocks(tokens: int, text: str) -> None:
    """Blocks are counted."""
    assert str(blocks_phrase(tokens)) == text

"""Two calls compared."""

from datetime import timedelta
from typing import Any

from moonpalace_addons.store.records import exchanges
from moonpalace_cli.views.comparing.comparison import compare
from moonpalace_cli.views.comparing.document import document
from moonpalace_cli.views.showing.facts import read_facts
from tests.cli.conftest import Store
from tests.cli.web.samples import completion, message, request
from tests.exchanges import STARTED

TOOL = {"type": "function", "function": {"name": "look", "description": "see"}}


def comparison_of(store: Store) -> Any:
    """Compare the two calls of a store, for programs."""
    rows = (exchanges.find(store.engine, id=number)[0] for number in (1, 2))
    return document(compare(*(read_facts(store.engine, row) for row in rows)))


def test_a_turn_and_the_next(store: Store) -> None:
    """Parameters, fields, messages and answers that differ are listed, with the positions of changes within texts."""
    hello = message("user", "Who lives there?")
    store.add(
        request=request(message("system", "Be brief."), hello, temperature=0.6, tools=[TOOL]),
        response=completion("A rabbit."),
        latency=2_000_000_000,
        started_at=STARTED + timedelta(seconds=9),
    )
    changed = {**TOOL, "function": {"name": "look", "description": "watch"}}
    store.add(
        request=request(
            message("system", "Be very brief."), hello, message("tool", "x"), temperature=1, tools=[changed]
        ),
        response=completion("A rabbit, and a toad."),
        latency=3_000_000_000,
    )
    result = comparison_of(store)
    assert (result["calls"], result["fields"]) == ([2, 1], {"latency": [3_000_000_000, 2_000_000_000]})
    assert [*result["parameters"]] == ["temperature", "tools"]
    assert result["parameters"]["temperature"] == ["1", "0.6"]
    assert [(each["role"], each["numbers"], each["same"]) for each in result["messages"]] == [
        ("tools", (1, 1), True),
        ("system", (2, 2), False),
        ("user", (3, 3), True),
        ("tool", (4, None), False),
    ]
    assert result["messages"][1]["parts"] == [
        {"kind": "text", "labels": ["", ""], "changes": [{"at": (3, 3), "before": "very ", "after": ""}]}
    ]
    (answer,) = result["answers"]
    assert answer["parts"][0]["changes"] == [{"at": (8, 8), "before": ", and a toad", "after": ""}]
    assert result["prompts"]["divergence"]["number"] == 1


def test_unknown_bodies(store: Store) -> None:
    """Calls without a conversation are compared by their fields."""
    store.add(request=b"\xff", response=None, path="/v1/files")
    store.add(request=b"", response=b"[]", path="/v1/files", status_code=500)
    result = comparison_of(store)
    assert result["fields"] == {"status": [200, 500], "status_code": [200, 500]}
    assert (result["messages"], result["prompts"]) == ([], None)

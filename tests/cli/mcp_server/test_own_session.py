"""An agent finds its own session."""

from datetime import UTC, datetime, timedelta

import pytest

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.mcp_server import own_session
from tests.cli.conftest import Store
from tests.cli.mcp_server.conftest import Ask, body, completion

SESSION = "0197a3c2-77aa-7bcd-9e0f-112233445566"


@pytest.fixture
def session(store: Store) -> Store:
    """Give a store with two calls of one session, and a newer call of another."""
    now = datetime.now(UTC)
    store.add(request=body(("user", "first")), session=SESSION, started_at=now - timedelta(minutes=3))
    call = {"id": "toolu_01AbCdEfGhIjKlMnOp", "function": {"name": "my_session", "arguments": '{"mark": "moon-ab-cd"}'}}
    store.add(
        request=body(("user", "second")),
        response=completion("", tool_calls=[call]),
        session=SESSION,
        started_at=now - timedelta(minutes=2),
    )
    store.add(request=body(("user", "another")), session="other", started_at=now)
    return store


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        (None, {"mark": "moon-ab-cd"}),
        (None, {"session": SESSION}),
        (None, {"call": 1}),
        ({"claudecode/toolUseId": "toolu_01AbCdEfGhIjKlMnOp"}, {}),
        ({"threadId": SESSION, "progressToken": 1}, {}),
        ({"x-codex-turn-metadata": {"session_id": SESSION, "model": "kimi-k3", "effort": "medium"}}, {}),
    ],
    ids=["mark", "name", "call", "tool use of Claude Code", "thread of Codex", "metadata of Codex"],
)
def test_the_session_is_found(ask: Ask, session: Store, said: object, arguments: dict[str, object]) -> None:
    """By a mark in its answer, by its name, by one of its calls, and by its client's metadata."""
    lines = ask("my_session", said=said, **arguments).split("\n")[1:]
    assert lines[0].startswith("Your session, found by call ")
    assert [line.split('"')[1] for line in lines[1:]] == ["second", "first"]


def test_a_session_that_cannot_be_told_is_not_guessed(
    ask: Ask, session: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a trace in the store there is an error with advice, and no other agent's calls."""
    monkeypatch.setattr(own_session, "PATIENCE", 0.0)
    cases: dict[str, dict[str, object]] = {
        "give a mark that you make up": {},
        "no recent answer has the mark": {"mark": "never-said"},
        "no stored call is of this session": {"session": "unknown"},
        "mark must be one word": {"mark": "two words"},
        "give a mark that you make up, the name": {"said": {"model": "kimi-k3", "progressToken": "7"}},
    }
    for message, arguments in cases.items():
        with pytest.raises(MoonPalaceError, match=message):
            ask("my_session", **arguments)


def test_a_call_without_a_session_is_shown_alone(ask: Ask, store: Store) -> None:
    """If requests name no session, only the call itself is certain."""
    store.add(request=body(("user", "alone")))
    store.add(request=body(("user", "stranger")))
    lines = ask("my_session", call=1).split("\n")[1:]
    assert lines[0].startswith("Your call 1 names no session")
    assert len(lines) == 2
    assert "alone" in lines[1]


def test_only_calls_of_one_session_are_searched(ask: Ask, session: Store) -> None:
    """session_of keeps search to the session of a call."""
    assert ask("search_calls", session_of=3).count("\n") == 1
    assert ask("search_calls", session_of=1).count("\n") == 2

"""The calls before and after a call in its conversation."""

import json
from datetime import timedelta
from typing import Any

from moonpalace_addons.store.records import exchanges
from moonpalace_cli.views.turns import Turns, turns
from tests.cli.conftest import Store
from tests.cli.web.samples import message, request
from tests.exchanges import STARTED

SYSTEM = message("system", "Be brief.")


def of(store: Store, row_id: int) -> Turns:
    """Return the neighbours of a call."""
    return turns(store.engine, exchanges.find(store.engine, id=row_id)[0])


def chat(store: Store, second: int, *words: str, **changes: Any) -> int:
    """Store a call of a conversation that began this many seconds after the first."""
    asked = request(
        SYSTEM, *(message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(words))
    )
    return store.add(request=asked, started_at=STARTED + timedelta(seconds=second), **changes)


def test_two_conversations_at_once(store: Store) -> None:
    """Calls with the same first messages follow each other, whatever comes between and when they were stored."""
    chat(store, 1, "one", "1", "more")
    chat(store, 0, "one")
    chat(store, 2, "two")
    chat(store, 3, "one", "1", "more", "2", "last")
    chat(store, 4, "two", "2", "more")
    assert [of(store, row_id) for row_id in range(1, 6)] == [
        *(Turns(2, 4), Turns(None, 1), Turns(None, 5), Turns(1, None), Turns(3, None))
    ]


def test_other_keys_sessions_and_endpoints(store: Store) -> None:
    """Calls of other clients are not part of a conversation."""
    chat(store, 0, "one")
    chat(store, 1, "one", key_fingerprint="f")
    chat(store, 2, "one", session="s")
    chat(store, 3, "one", endpoint="https://api.moonshot.ai")
    chat(store, 4, "one", path="/v1/embeddings")
    assert [of(store, row_id) for row_id in range(1, 6)] == [Turns(None, None)] * 5


def test_a_session_whose_history_was_rewritten(store: Store) -> None:
    """If no call begins alike, the neighbours are those of the session, and labelled so."""
    chat(store, 0, "one", session="s")
    chat(store, 1, "a summary", session="s")
    assert (of(store, 1), of(store, 2)) == (Turns(None, 2, "session"), Turns(1, None, "session"))


def test_answers_that_requests_name(store: Store) -> None:
    """A response that continues another one by its id follows it."""
    ends = ((None, "resp_1"), (None, "resp_2"), ("resp_1", "resp_3"))
    for number, (pointer, answer) in enumerate(ends):
        body = json.dumps({"model": "m", "input": f"question {number}", "previous_response_id": pointer}).encode()
        started = STARTED + timedelta(seconds=number)
        store.add(request=body, path="/v1/responses", chatcmpl_id=answer, started_at=started)
    assert [of(store, row_id) for row_id in (1, 2, 3)] == [Turns(None, 3), Turns(None, None), Turns(1, None)]

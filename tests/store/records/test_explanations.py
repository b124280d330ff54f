"""Tests of explanations stored with calls, and of calls that MoonPalace makes itself."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.incoming.importing import import_calls
from moonpalace_addons.store.incoming.sources import opened_source
from moonpalace_addons.store.pricing.pricing import Pricing
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.records import exchanges, explanations
from moonpalace_addons.store.records.explanations import Explanation
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.upkeep.secret_search import search
from moonpalace_addons.store.write import own_calls
from moonpalace_addons.wire.prices import PriceRule, Rates
from tests.tasks import ended, request_read, response_started

type Make[T] = Callable[..., T]
type Own = Callable[[str], int]


@pytest.fixture
def own(engine: Engine) -> Own:
    """Give a function that stores a call of ours with a purpose, and returns its id."""
    prices = Pricing([PriceRule("kimi-*", Rates(input=1, output=2))])

    def store(purpose: str) -> int:
        read = request_read(api_key=b"sk-of-the-user")
        with engine.connect() as connection:
            unit = own_calls.to_unit(connection, [read, response_started(read), ended(read)], purpose, prices)
        with writing(engine) as connection:
            return own_calls.store(connection, unit)

    return store


def explained(name: str, calls: int = 1, **changes: object) -> Explanation:
    """Return an explanation by a call with this uuid."""
    moment = datetime(2026, 11, 30, 12, int(name), tzinfo=UTC)
    told: dict[str, object] = {"endpoint": "https://e", "model": "m", "language": "English", "question": None}
    return Explanation(call_uuid=name, created_at=moment, calls=calls, text=f"text {name}", **(told | changes))  # type: ignore[arg-type]


def test_a_call_of_ours(engine: Engine, own: Own) -> None:
    """It is stored, masked and priced like any other, and excluded where only calls of programs are requested."""
    theirs, mine = own(""), own("explain")
    (call,) = exchanges.find(engine, id=mine)
    assert (call.purpose, call.status_code, call.cost, call.cost_currency) == ("explain", 200, 25e-6, "USD")
    assert call.key_fingerprint
    assert selection.chosen_ids(engine, of_programs=True) == [] != [theirs]  # an empty purpose is one too
    with writing(engine) as connection:
        connection.execute(EXCHANGES.update().where(EXCHANGES.c.id == theirs).values(purpose=None))
    assert selection.chosen_ids(engine, of_programs=True) == [theirs]
    assert selection.chosen_ids(engine) == [theirs, mine]


def test_explanations_are_found_by_what_they_explain(engine: Engine, own: Own) -> None:
    """The newest for the same calls, question and language is found; it is deleted with its calls."""
    a, b, c = own("x"), own("x"), own("x")
    with writing(engine) as connection:
        explanations.keep(connection, [a], explained("1"))
        explanations.keep(connection, [a], explained("2"))
        explanations.keep(connection, [a], explained("3", question="why?"))
        explanations.keep(connection, [a], explained("4", language="German"))
        explanations.keep(connection, [a, b, 999], explained("5", calls=2, model="n"))
    find = explanations.of_exactly
    assert [each.call_uuid for each in explanations.of_call(engine, a)] == ["1", "2", "3", "4", "5"]
    assert find(engine, [a], None, "English") == explained("2")
    assert find(engine, [a], "why?", "English") == explained("3", question="why?")
    assert find(engine, [b, a], None, "English") == explained("5", calls=2, model="n")
    assert find(engine, [a, c], None, "English") is find(engine, [c], None, "English") is None
    assert explanations.has_been_asked(engine, "https://e", "n")
    assert not explanations.has_been_asked(engine, "https://e", "o")
    with writing(engine) as connection:
        connection.execute(delete(EXCHANGES).where(EXCHANGES.c.id == a))
    assert explanations.of_call(engine, a) == []
    assert find(engine, [a, b], None, "English") is None


def test_the_search_for_secrets_reads_them(engine: Engine, own: Own) -> None:
    """A key in an explanation or a question is found."""
    row, key = own("x"), "sk-" + "kL9mP2qR5tV8xZ1b" * 2
    with writing(engine) as connection:
        explanations.keep(connection, [row], explained("1", question=f"is it {key}?"))
    (hit,) = search(engine)
    assert (hit.call, hit.field) == (row, "explanations.question")


def test_an_import_takes_them_along(
    engine: Engine, own: Own, store_url: str, tmp_path: Path, empty_store: Path
) -> None:
    """An imported call keeps its explanations."""
    from moonpalace_addons.store.database.opening import open_store

    row = own("x")
    with writing(engine) as connection:
        explanations.keep(connection, [row], explained("1"))
    file = tmp_path / "copy.sqlite"
    file.write_bytes(empty_store.read_bytes())
    other = open_store(f"sqlite:///{file}")
    with opened_source(store_url) as source:
        assert import_calls(source, other).imported == 1
    (call,) = exchanges.latest(other, limit=2)
    assert explanations.of_call(other, call.id) == [explained("1")]
    assert call.purpose == "x"
    other.dispose()

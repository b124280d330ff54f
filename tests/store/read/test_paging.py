"""Pages of calls."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.read.paging import Place, page
from moonpalace_addons.store.schema import EXCHANGES

SAME = 1_795_368_422_000_000


@pytest.fixture
def calls(add: Callable[..., int]) -> list[int]:
    """Store seven calls, some of which began in the same microsecond; return their ids, newest first."""
    return [add(started_at=SAME + number // 3, path=f"/{number % 2}") for number in range(7)][::-1]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8])
def test_there_and_back(engine: Engine, calls: list[int], size: int) -> None:
    """From page to page each call comes once, and back again the pages are the same."""
    pages = [page(engine, size)]
    while pages[-1].has_older:
        pages.append(page(engine, size, before=Place.of(pages[-1].calls[-1])))
    assert [call.id for each in pages for call in each.calls] == calls
    assert [each.has_newer for each in pages] == [False] + [True] * (len(pages) - 1)
    for newer, older in zip(pages[-2::-1], pages[::-1], strict=False):
        assert page(engine, size, after=Place.of(older.calls[0])).calls == newer.calls


def test_of_a_condition(engine: Engine, calls: list[int]) -> None:
    """A page has matching calls, whether or not the call at its position matches."""
    where = EXCHANGES.c.path == "/0"
    every = page(engine, 9)
    result = page(engine, 2, before=Place.of(every.calls[1]), where=where)
    assert [call.id for call in result.calls] == [calls[2], calls[4]]
    assert result.has_older


def test_a_place_as_text(engine: Engine, calls: list[int]) -> None:
    """The position of a call can be converted to text and back; another text is rejected."""
    place = Place.of(page(engine, 1).calls[0])
    assert Place.read(place.text) == place == Place(SAME + 2, calls[0])
    assert [Place.read(text) for text in ("", "1", "1-", "1-2-3", f"{2**63}-1", "１-1")] == [None] * 6

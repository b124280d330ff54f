"""Tests of selecting calls."""

from uuid import uuid4

import pytest
from sqlalchemy import Engine

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.fields import FIELDS
from moonpalace_addons.store.read import selection
from moonpalace_addons.store.read.conversations import candidates
from moonpalace_addons.store.records import exchanges
from moonpalace_addons.store.schema import EXCHANGES
from moonpalace_addons.store.write.derive import request_columns
from tests.tasks import request_read


@pytest.fixture
def calls(engine: Engine, run_id: str) -> list[int]:
    """Store twelve calls, every second of them to /v1/models; return their ids."""
    rows = []
    for number in range(12):
        request = request_read(uuid=str(uuid4()), path="/v1/models" if number % 2 else "/v1/chat/completions")
        row = request_columns(request, {}, run_id=run_id, fingerprint_key=b"k" * 32)
        rows.append(row | {"chatcmpl_id": f"cmpl-{number}" if number < 3 else None})
    with writing(engine) as connection:
        return sorted(exchanges.insert_exchanges(connection, rows).values())


def test_chosen_ids(engine: Engine, calls: list[int]) -> None:
    """Ids are oldest first, only the newest `last`, and only matching ones."""
    is_models = EXCHANGES.c.path == "/v1/models"
    assert selection.chosen_ids(engine) == calls
    assert selection.chosen_ids(engine, last=2) == calls[-2:]
    assert selection.chosen_ids(engine, last=99) == calls
    assert selection.chosen_ids(engine, is_models) == calls[1::2]
    assert selection.chosen_ids(engine, is_models, last=2) == calls[1::2][-2:]


def test_in_order(engine: Engine, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are returned in the order of their ids, each once, without deleted ones."""
    monkeypatch.setattr("moonpalace_addons.store.records.labels.BATCH_SIZE", 2)
    wanted = [calls[3], calls[0], calls[-1] + 1, calls[3], calls[2]]
    assert [exchange.id for exchange in selection.in_order(engine, wanted)] == [calls[3], calls[0], calls[2]]


def test_values_seen(engine: Engine, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of a field among the newest calls have their numbers, most frequent first."""
    assert selection.values_seen(engine, FIELDS["status_code"]) == []
    assert [calls for _, calls in selection.values_seen(engine, FIELDS["url"])] == [6, 6]
    monkeypatch.setattr(selection, "MAX_SEARCHED", 11)
    assert selection.values_seen(engine, FIELDS["path"]) == [("/v1/models", 6), ("/v1/chat/completions", 5)]
    monkeypatch.setattr(selection, "MAX_SEARCHED", 10)
    assert selection.values_seen(engine, FIELDS["chatcmpl"]) == [("cmpl-2", 1)]


def test_candidates(engine: Engine, calls: list[int]) -> None:
    """The candidates for a call's conversation are calls of its face, nearest first on each side."""
    (middle,) = selection.in_order(engine, [calls[6]])
    sides = [candidates(engine, middle, later=later, limit=2) for later in (False, True)]
    assert [[each.id for each in side] for side in sides] == [[calls[4], calls[2]], [calls[8], calls[10]]]


def test_beginnings(engine: Engine, calls: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Identifiers are found by their beginning, newest first."""
    newest = calls[-1]
    assert selection.ids_beginning(engine, str(newest))[0] == (newest, "POST /v1/models")
    assert selection.ids_beginning(engine, "999") == []
    assert selection.names_beginning(engine, "chatcmpl_id", "cmpl") == ["cmpl-2", "cmpl-1", "cmpl-0"]
    assert selection.names_beginning(engine, "chatcmpl_id", "cmpl-1") == ["cmpl-1"]
    assert selection.names_beginning(engine, "chatcmpl_id", "%") == []
    monkeypatch.setattr(selection, "MAX_OFFERED", 2)
    assert [row_id for row_id, _ in selection.ids_beginning(engine, "")] == calls[:-3:-1]

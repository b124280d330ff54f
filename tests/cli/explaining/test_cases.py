"""Tests of what is named for recorded calls: by the rules alone, and in the record for a model."""

import pytest

from moonpalace_addons.store.records import exchanges
from moonpalace_cli.explaining.record import Subject, make_record
from moonpalace_cli.views.showing.facts import read_facts
from moonpalace_cli.views.showing.reasons import reasons
from tests.cli.conftest import Store
from tests.cli.explaining.cases import CASES, Case
from tests.cli.explaining.recording import call

UNNAMED = {"empty message of the assistant", "no finish reason"}
"""Cases whose cause the rules do not name: only a model can."""


def stored(store: Store, case: Case) -> int:
    """Store the call of a case."""
    return call(
        store.engine,
        case.body,
        case.status,
        case.answer,
        content_type=case.content_type,
        path=case.path,
        headers=case.headers,
        answer_headers=case.answer_headers,
        at=case.at,
        pieces=case.pieces,
        asked=case.asked,
        ended=case.ended,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_rules_name_it(store: Store, case: Case) -> None:
    """The rules name the cause and the remedy, or are known not to; the record has their findings."""
    row = stored(store, case)
    result = list(reasons(read_facts(store.engine, exchanges.find(store.engine, id=row)[0])))
    text = " ".join(f"{reason.evidence} {reason.advice}" for reason in result).lower()
    missing = [word for word in case.names if word not in text]
    assert bool(missing) == (case.name in UNNAMED), (missing, text)
    record = make_record(store.engine, Subject([row], 1, None, "English"), limit=8_000, pattern=None)
    assert record.count("- evidence ") == len(result[:6])


def test_the_table_is_long_enough() -> None:
    """At least 30 cases, of which the rules alone name at least 25."""
    assert len({case.name for case in CASES}) == len(CASES) >= 30
    assert len(CASES) - len(UNNAMED) >= 25

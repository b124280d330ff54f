"""Rows of calls whose servers deviate from the API: answer, columns and warnings."""

import json

from moonpalace_addons.store.tasks import ExchangeEnded, State
from moonpalace_addons.store.write.answers import Received
from tests.dialects import DIALECTS
from tests.tables import for_each
from tests.units import outcome

END = ExchangeEnded(uuid="u", at=9_000_000, state=State.COMPLETED, overhead=7)


@for_each("name", DIALECTS)
def test_the_row_of_a_dialect(name: str) -> None:
    """The answer equals the one without streaming, the columns have its data, and oddities are warnings."""
    dialect = DIALECTS[name]
    kind = "text/event-stream" if dialect.is_stream else "application/json"
    received = Received(1_000_000, 200, "", kind, dialect.data, [(len(dialect.data), 2_000_000)])
    found = outcome(END, received, {"stream": dialect.is_stream})
    assert json.loads(found.response_body or b"null") == dialect.answer
    assert {column: found.columns[column] for column in dialect.row} == dialect.row
    warnings = json.loads(str(found.columns["warnings"] or "[]"))
    assert len(warnings) == len(dialect.warnings), warnings
    for warning, expected in zip(warnings, dialect.warnings, strict=True):
        assert expected in warning

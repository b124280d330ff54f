"""Any text given to `mpal list -p` is answered."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.cli.conftest import Mpal, Store
from tests.store.query.random_texts import RANDOM


@given(RANDOM)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_list_answers_any_predicate(store: Store, mpal: Mpal, text: str) -> None:
    """`mpal list -p` prints a table, or one line of error with a caret below it."""
    result = mpal("list", f"--predicate={text}")
    if result.code == 0:
        assert result.err == ""
    else:
        first, *rest = result.err.splitlines()
        assert (result.code, first[:18], len(rest)) == (2, "Error: predicate: ", 2)

"""Tests of selecting calls for a command."""

import click
import pytest

from moonpalace_cli.flags.filters import Filters
from moonpalace_cli.flags.selecting import CallSelection
from tests.tables import for_each

SOME = Filters(("id > 1",))


@for_each(
    ("wanted", "is_many"),
    [
        (CallSelection(ids=(1,)), False),
        (CallSelection(chatcmpl="x", request_id="y"), False),
        (CallSelection(last=1), False),
        (CallSelection(ids=(1, 2)), True),
        (CallSelection(last=2), True),
        (CallSelection(filters=SOME), True),
        (CallSelection(filters=SOME, last=1), True),
        (CallSelection(all=True), True),
        (CallSelection(names=("13",)), False),
        (CallSelection(names=("chatcmpl-13-20",)), False),
        (CallSelection(names=("13-20",)), True),
        (CallSelection(names=("13", "20")), True),
    ],
)
def test_one_or_many(wanted: CallSelection, is_many: bool) -> None:
    """Whether one call or many are requested does not depend on the store."""
    wanted.check()
    assert wanted.is_many is is_many


@pytest.mark.parametrize(
    "wanted",
    [
        CallSelection(),
        CallSelection(ids=(1,), all=True),
        CallSelection(chatcmpl="x", last=1),
        CallSelection(request_id="x", filters=SOME),
        CallSelection(all=True, last=1),
        CallSelection(all=True, filters=SOME),
        CallSelection(ids=(1, 2), request_id="x"),
        CallSelection(names=("1",), ids=(1,)),
        CallSelection(names=("1",), last=1),
        CallSelection(names=("1",), all=True),
    ],
)
def test_contradictions(wanted: CallSelection) -> None:
    """Contradictory options are wrong usage."""
    with pytest.raises(click.UsageError):
        wanted.check()

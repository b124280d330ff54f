"""Tests of choosing the calls that a command works on."""

import click
import pytest

from moonpalace_cli.flags.selecting import CallSelection


@pytest.mark.parametrize(
    ("wanted", "is_many"),
    [
        (CallSelection(ids=(1,)), False),
        (CallSelection(chatcmpl="x", request_id="y"), False),
        (CallSelection(last=1), False),
        (CallSelection(ids=(1, 2)), True),
        (CallSelection(last=2), True),
        (CallSelection(predicates=("id > 1",)), True),
        (CallSelection(predicates=("id > 1",), last=1), True),
        (CallSelection(all=True), True),
    ],
)
def test_one_or_many(wanted: CallSelection, is_many: bool) -> None:
    """Whether one call or many are asked for does not depend on what is stored."""
    wanted.check()
    assert wanted.is_many is is_many


@pytest.mark.parametrize(
    "wanted",
    [
        CallSelection(),
        CallSelection(ids=(1,), all=True),
        CallSelection(chatcmpl="x", last=1),
        CallSelection(request_id="x", predicates=("id > 1",)),
        CallSelection(all=True, last=1),
        CallSelection(all=True, predicates=("id > 1",)),
        CallSelection(ids=(1, 2), request_id="x"),
    ],
)
def test_contradictions(wanted: CallSelection) -> None:
    """What makes no sense together is wrong usage."""
    with pytest.raises(click.UsageError):
        wanted.check()

"""Tests of choosing the calls that a command works on."""

import click
import pytest

from moonpalace_cli.flags.selecting import Wanted


@pytest.mark.parametrize(
    ("wanted", "is_many"),
    [
        (Wanted(ids=(1,)), False),
        (Wanted(chatcmpl="x", request_id="y"), False),
        (Wanted(last=1), False),
        (Wanted(ids=(1, 2)), True),
        (Wanted(last=2), True),
        (Wanted(predicates=("id > 1",)), True),
        (Wanted(predicates=("id > 1",), last=1), True),
        (Wanted(all=True), True),
    ],
)
def test_one_or_many(wanted: Wanted, is_many: bool) -> None:
    """Whether one call or many are asked for does not depend on what is stored."""
    wanted.check()
    assert wanted.is_many is is_many


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(ids=(1,), all=True),
        Wanted(chatcmpl="x", last=1),
        Wanted(request_id="x", predicates=("id > 1",)),
        Wanted(all=True, last=1),
        Wanted(all=True, predicates=("id > 1",)),
        Wanted(ids=(1, 2), request_id="x"),
    ],
)
def test_contradictions(wanted: Wanted) -> None:
    """What makes no sense together is wrong usage."""
    with pytest.raises(click.UsageError):
        wanted.check()

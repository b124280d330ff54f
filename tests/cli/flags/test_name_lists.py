"""Tests of lists of names, and of their completion."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moonpalace_cli.flags import name_lists
from moonpalace_cli.views.listing.columns import BY_NAME

CONTEXT = click.Context(click.Command("list"))
OPTION = click.Option(["--columns"])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((), []),
        (("a,b", "c"), ["a", "b", "c"]),
        ((" a , b,,a ", "b"), ["a", "b"]),
        ((",",), []),
    ],
)
def test_split(values: tuple[str, ...], names: list[str]) -> None:
    """Names are unique, in order, from all the lists."""
    assert name_lists.split(values) == names


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("id,modle",), "there is no column 'modle'; did you mean model?"),
        (("qqqqqq",), "there is no column 'qqqqqq'; mpal help columns shows all"),
        ((",",), "name at least one column"),
    ],
)
def test_unknown_columns(values: tuple[str, ...], message: str) -> None:
    """An unknown column gives the nearest names, or some names."""
    with pytest.raises(click.BadParameter) as raised:
        name_lists.parse_columns(CONTEXT, OPTION, values)
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("value", "order"),
    [(None, None), ("latency", ("latency", False)), ("-ttft", ("time_to_first_token", True)), (" -id ", ("id", True))],
)
def test_orders(value: str | None, order: tuple[str, bool] | None) -> None:
    """A minus sorts in descending order."""
    result = name_lists.parse_order(CONTEXT, OPTION, value)
    assert (result and (result[0].source, result[1])) == order


@pytest.mark.parametrize("value", ["", "-", "--id", "request_body", "nope"])
def test_no_orders(value: str) -> None:
    """Unknown columns and bodies cannot be sorted by."""
    with pytest.raises(click.BadParameter, match=r"there is no column|cannot sort by"):
        name_lists.parse_order(CONTEXT, OPTION, value)


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [
        ("finish_r", ["finish_reason"]),
        ("id,finish_r", ["id,finish_reason"]),
        ("finish_reason,finish_r", []),
        ("zz", []),
    ],
)
def test_completing_columns(incomplete: str, offered: list[str]) -> None:
    """The last name of the list is completed; names already in it are not offered."""
    assert name_lists.complete_columns(CONTEXT, OPTION, incomplete) == offered


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [("finish_r", ["finish_reason"]), ("request_b", ["request_bytes"]), ("tag", ["tags"])],
)
def test_completing_orders(incomplete: str, offered: list[str]) -> None:
    """Only sortable fields are offered."""
    assert name_lists.complete_order(CONTEXT, OPTION, incomplete) == offered


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [
        ("finish_r", ["finish_reason"]),
        ("id > 3 && finish_r", ["id > 3 && finish_reason"]),
        ("(finish_r", ["(finish_reason"]),
        ("response_body.usage.t", ["response_body.usage.total_tokens"]),
    ],
)
def test_completing_fields(incomplete: str, offered: list[str]) -> None:
    """The last word of a predicate is completed."""
    assert name_lists.complete_fields(CONTEXT, OPTION, incomplete) == offered


@given(st.text())
def test_completing_never_fails(incomplete: str) -> None:
    """Whatever is on the command line, suggestions continue it."""
    for complete in (name_lists.complete_columns, name_lists.complete_fields, name_lists.complete_order):
        assert all(offered.startswith(incomplete) for offered in complete(CONTEXT, OPTION, incomplete))
    assert set(name_lists.complete_columns(CONTEXT, OPTION, "")) == set(BY_NAME)

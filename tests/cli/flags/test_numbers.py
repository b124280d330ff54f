"""Tests of whole numbers as options."""

import click
import pytest

from moonpalace_cli.flags.numbers import MAX_INTEGER, WholeNumber
from tests.cli.conftest import Mpal


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), (" 007 ", 7), ("+9", 9), ("0", 0), (str(MAX_INTEGER), MAX_INTEGER), (12, 12)]
)
def test_numbers(text: str | int, number: int) -> None:
    """Digits, with or without a sign, and ints are accepted."""
    assert WholeNumber().convert(text, None, None) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "1_0", "-1", "٣", str(MAX_INTEGER + 1), "9" * 5000])
def test_what_is_no_number(text: str) -> None:
    """Anything else is refused, quoted in part."""
    with pytest.raises(click.BadParameter, match=r"^.{,52} must be a whole number, 0 or more$"):
        WholeNumber().convert(text, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "--id", "abc"], "'--id': 'abc' must be a whole number, 1 or more (see mpal inspect --help)"),
        (["mock", "--port", "-1"], "'--port': '-1' must be a whole number, from 0 to 65535 (see mpal mock --help)"),
    ],
)
def test_commands(mpal: Mpal, arguments: list[str], message: str) -> None:
    """A wrong number is one line that says what is allowed."""
    result = mpal(*arguments)
    assert (result.code, result.err) == (2, f"Error: Invalid value for {message}\n")

"""Tests of the page on columns and fields."""

import pytest
from wcwidth import wcswidth

from moonpalace_addons.store.fields import FIELDS
from moonpalace_cli.views.listing.meanings import line
from tests.cli.conftest import Mpal


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("latency", " (ns)"),
        ("ttft", " (ms; also response_ttft)"),
        ("id", ""),
        ("stream", " (true or false; also is_stream)"),
        ("warnings", " (set)"),
    ],
)
def test_line(name: str, facts: str) -> None:
    """The meaning is followed by the unit or kind, and other names."""
    assert line(FIELDS[name]) == FIELDS[name].meaning + facts


def test_page(mpal: Mpal) -> None:
    """`mpal help columns` fits a terminal and names every column."""
    result = mpal("help", "columns")
    assert (result.code, result.err) == (0, "")
    assert all(wcswidth(text) <= 80 for text in result.out.splitlines())
    words = set(result.out.replace(",", " ").replace(")", " ").split())
    assert FIELDS.keys() - words == set()


def test_help_of_other_commands_is_no_page(mpal: Mpal) -> None:
    """Only that word shows the page."""
    assert mpal("help", "columns", "list").code == 2

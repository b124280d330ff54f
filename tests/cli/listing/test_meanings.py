"""Tests of the page that says what columns and fields mean."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from wcwidth import wcswidth

from moonpalace_cli.listing.columns import BY_NAME
from moonpalace_cli.listing.meanings import MEANINGS, line, same
from moonpalace_cli.predicate.fields import FIELDS

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome


def test_each_thing_stands_there_once() -> None:
    """Every column and field has a meaning under one of its names."""
    names = list(chain.from_iterable(MEANINGS.values()))
    meant = [other for name in names for other in same(FIELDS[name])]
    assert sorted(meant) == sorted(FIELDS)
    assert BY_NAME.keys() - set(meant) == set()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("latency", "m (ns)"),
        ("ttft", "m (ms; also response_ttft)"),
        ("id", "m"),
        ("stream", "m (true or false; also is_stream)"),
        ("tags", "m (set)"),
    ],
)
def test_line(name: str, text: str) -> None:
    """Unit or kind, and other names, stand behind the meaning."""
    assert line(name, "m") == text


def test_page(mpal: Callable[..., Outcome]) -> None:
    """`mpal help columns` fits a terminal and names every column."""
    result = mpal("help", "columns")
    assert (result.code, result.err) == (0, "")
    assert all(wcswidth(text) <= 80 for text in result.out.splitlines())
    words = set(result.out.replace(",", " ").replace(")", " ").split())
    assert FIELDS.keys() - words == set()


def test_help_of_other_commands_is_no_page(mpal: Callable[..., Outcome]) -> None:
    """Only that one word is a page."""
    assert mpal("help", "columns", "list").code == 2

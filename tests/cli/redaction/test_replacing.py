"""Tests of replacements and places."""

import pytest

from moonpalace_cli.redaction.replacing import Place, Replacement, apply, whole


@pytest.mark.parametrize(
    ("replacements", "expected"),
    [
        ([], "abcdef"),
        ([Replacement(0, 0, "x")], "xabcdef"),
        ([Replacement(1, 3, "")], "adef"),
        ([Replacement(0, 2, "中"), Replacement(2, 3, "y"), Replacement(5, 6, "zz")], "中ydezz"),
        (whole("abcdef", "all"), "all"),
    ],
)
def test_replacements_are_made(replacements: list[Replacement], expected: str) -> None:
    """Each piece is replaced in its place, and everything between is unchanged."""
    assert apply("abcdef", replacements) == expected


@pytest.mark.parametrize(
    ("place", "shown", "name"),
    [
        (Place("note"), "note", ""),
        (Place("request header", ("X-Y",)), "request header, X-Y", "x-y"),
        (Place("request body").at("messages", 0).at("Content", 1), "request body, messages.0.Content.1", "content"),
        (Place("response events", (3,)), "response events, 3", ""),
    ],
)
def test_places(place: Place, shown: str, name: str) -> None:
    """A place has a text for messages, and knows the nearest name in it."""
    assert (str(place), place.name) == (shown, name)

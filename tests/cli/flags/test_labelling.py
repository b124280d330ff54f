"""Tests of valid labels."""

import click
import pytest

from moonpalace_cli.flags.labelling import category_of, is_text, parse_note, parse_tags

CONTEXT = click.Context(click.Command("label"))
OPTION = click.Option(["--tag"])


@pytest.mark.parametrize(
    ("values", "tags"), [((), ()), (("b", " a ", "b"), ("b", "a")), (("a,b", "中文 🚀"), ("a,b", "中文 🚀"))]
)
def test_tags(values: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """Tags are unique, in the given order, without surrounding whitespace."""
    assert parse_tags(CONTEXT, OPTION, values) == tags


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\tb", "\x00", "\x1b", "\u202e", "\ud800", "x" * 101])
def test_bad_tags(value: str) -> None:
    """A tag is one line of ordinary text."""
    with pytest.raises(click.BadParameter):
        parse_tags(CONTEXT, OPTION, ("good", value))


@pytest.mark.parametrize(("value", "note"), [(None, None), ("", ""), (" \n", ""), (" a\n\tb ", "a\n\tb")])
def test_notes(value: str | None, note: str | None) -> None:
    """A note may have several lines; an empty one differs from none."""
    assert parse_note(CONTEXT, OPTION, value) == note


def test_text() -> None:
    """Half a surrogate pair and control characters are not text."""
    assert is_text("中\n🚀")
    assert not is_text("\ud800")
    assert not is_text("a\x00")


def test_categories() -> None:
    """The documented names are stored."""
    assert (category_of(good=True, bad=False), category_of(good=False, bad=True)) == ("goodcase", "badcase")
    assert category_of(good=False, bad=False) is None

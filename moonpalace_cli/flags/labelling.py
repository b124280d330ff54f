"""Flags that label calls, and the validation of labels."""

from __future__ import annotations

from collections.abc import Callable

import click

from moonpalace_addons.wire.escaping import CONTROL
from moonpalace_cli.flags.completing import complete_tag

MAX_TAG = 100
MAX_NOTE = 10_000
"""Maximum characters of a note; it is for people, and other data is in the bodies."""


def tag_option[F: Callable[..., object]](*names: str, about: str) -> Callable[[F], F]:
    """Return the option for tags, which may be given several times; `names` are its flag and its parameter."""
    return click.option(
        *names, metavar="TEXT", multiple=True, callback=parse_tags, shell_complete=complete_tag, help=about
    )


def parse_tags(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags without duplicates, in the order given; a tag is one line of text."""
    tags = tuple(dict.fromkeys(value.strip() for value in values))
    for tag in tags:
        if not is_text(tag) or "\n" in tag or "\t" in tag or len(tag) > MAX_TAG:
            raise click.BadParameter(
                f"{tag[:MAX_TAG]!r} is not a tag: give one line of 1 to {MAX_TAG} characters",
                context,
                parameter,
            )
    return tags


def parse_note(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Return the note; an empty one removes the existing note."""
    if value is None or not value.strip():
        return None if value is None else ""
    if not is_text(value) or len(value) > MAX_NOTE:
        raise click.BadParameter(f"a note is text of at most {MAX_NOTE:,} characters", context, parameter)
    return value.strip()


def is_text(value: str) -> bool:
    """Return whether databases and terminals can represent the value."""
    return bool(value) and not CONTROL.search(value) and value.encode("utf-8", "replace").decode() == value


def category_of(*, good: bool, bad: bool) -> str | None:
    """Return the category given by the flags, None for none; raise UsageError for both."""
    if good and bad:
        raise click.UsageError("--good and --bad exclude each other")
    return "goodcase" if good else "badcase" if bad else None

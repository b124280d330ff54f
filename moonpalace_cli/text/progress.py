"""Report the progress of a long command, and if it is interrupted, what it has done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

type Step = Callable[[int], None]
"""A function that is called with the number of calls done since the last time."""

MAX_UPDATES = 200
"""Maximum updates of the bar."""
QUIET_LIMIT = 20
"""Maximum calls without a bar."""


@contextmanager
def progress(length: int, label: str, left: str, *, shows_bar: bool = True) -> Iterator[Step]:
    """Yield a function that counts calls; if there are many, a terminal gets a bar.

    `left` describes what an interruption leaves, as the end of a sentence: "3 of 6,000 calls" and so on; a `length` of
    0 is unknown.
    """
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more

    try:
        if not shows_bar or length <= QUIET_LIMIT or not sys.stderr.isatty():
            yield count
            return
        with click.progressbar(
            length=length, label=label, file=sys.stderr, update_min_steps=length // MAX_UPDATES + 1
        ) as bar:

            def show(more: int) -> None:
                count(more)
                bar.update(more)

            yield show
    except KeyboardInterrupt:
        total = f" of {length:,}" if length else ""
        click.echo(f"interrupted: {done:,}{total} calls {left}", err=True)
        raise

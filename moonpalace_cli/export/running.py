"""Export calls: read them one at a time, check or redact them, and hand them on in a format."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.calls.reading import read_calls
from moonpalace_cli.export.destinations import to_folder
from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.export.unfit import UnfitError
from moonpalace_cli.redaction.checking import secrets_in
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.text.json_text import escape_html

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_cli.calls.reading import Call
    from moonpalace_cli.export.destinations import Destination
    from moonpalace_cli.export.formats import Format
    from moonpalace_cli.redaction.redactor import Redactor

type Step = Callable[[], None]
"""Called once for each call."""

MAX_PROGRESS_UPDATES = 200
"""How often the bar moves at most."""
QUIET_LIMIT = 20
"""Calls up to which no progress is shown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How calls are exported; without a redactor and without `allow_secrets`, one that carries a secret stops all.

    Of a call's tags the `first_tags` stand before the others.
    """

    name: str
    redactor: Redactor | None = None
    allow_secrets: bool = False
    escaped: bool = False
    encoding: str = "utf-8"
    shows_progress: bool = False
    first_tags: tuple[str, ...] = ()

    @property
    def form(self) -> Format:
        """Return the format."""
        return FORMATS[self.name]


@dataclass(slots=True)
class Outcome:
    """What came of an export; `left_out` are the reasons, with how many calls each one kept out."""

    exported: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"what {reason} ({count:,})" for reason, count in self.left_out.most_common())


def export(engine: Engine, ids: Sequence[int], plan: Plan, destination: Destination) -> Iterator[Path]:
    """Export the calls, and give the path of each file that one call got for itself.

    Raises MoonPalaceError for a secret before anything is written, and where no call at all has a place in the format.
    Which calls were left out is said on standard error.
    """
    if plan.redactor is None and not plan.allow_secrets:
        refuse_secrets(engine, ids, plan)
    outcome = Outcome()
    with destination as put, progress(ids, plan, "Exporting") as steps:
        for call in read_calls(engine, ids, timed=plan.form.timed):
            steps()
            text = written(call, plan, outcome)
            if text is not None:
                path = put(call, text)
                if path is not None:
                    yield path
        refuse_nothing(ids, plan, outcome)
    if outcome.left_out:
        click.echo(f"left out as {plan.name}: {outcome}", err=True)


def written(call: Call, plan: Plan, outcome: Outcome) -> str | None:
    """Return the text of a call in the format, None for one that has no place there; count both."""
    tags = (*plan.first_tags, *(tag for tag in call.tags if tag not in plan.first_tags))
    call = replace(call, tags=tags)
    try:
        text = plan.form.text(plan.redactor.redact(call) if plan.redactor else call, plan.encoding)
    except UnfitError as error:
        outcome.left_out[str(error)] += 1
        return None
    outcome.exported += 1
    return escape_html(text) if plan.escaped and plan.form.kind == "json" else text


def refuse_nothing(ids: Sequence[int], plan: Plan, outcome: Outcome) -> None:
    """Raise MoonPalaceError where nothing was exported."""
    if outcome.exported:
        return
    if not outcome.left_out:
        raise MoonPalaceError(f"none of the {len(ids):,} calls is there any more")
    if len(ids) == 1:
        raise MoonPalaceError(f"call {ids[0]} has no place in --format {plan.name}: it {next(iter(outcome.left_out))}")
    raise MoonPalaceError(f"none of the {len(ids):,} calls has a place in --format {plan.name}: {outcome}")


def refuse_secrets(engine: Engine, ids: Sequence[int], plan: Plan) -> None:
    """Raise MoonPalaceError that names the first secret in the calls."""
    with progress(ids, plan, "Looking for secrets") as steps:
        for call in read_calls(engine, ids):
            steps()
            found = secrets_in(call)
            if found:
                places = len({str(each) for each in found}) - 1
                more = f" (and in {places} more place{'s' if places > 1 else ''})" if places else ""
                raise MoonPalaceError(
                    f"call {call.exchange.id} seems to carry a secret: {found[0]}{more}; "
                    "--redact replaces such, --allow-secrets exports it as it is"
                )


@contextmanager
def progress(ids: Sequence[int], plan: Plan, label: str) -> Iterator[Step]:
    """Give what is called once a call; a bar is shown where there are many and somebody can see it."""
    if not plan.shows_progress or len(ids) <= QUIET_LIMIT or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(
        length=len(ids), label=label, file=sys.stderr, update_min_steps=len(ids) // MAX_PROGRESS_UPDATES + 1
    ) as bar:
        yield lambda: bar.update(1)


def export_listed(
    engine: Engine, ids: Sequence[int], folder: Path, *, pattern: str | None, redact: bool, escaped: bool
) -> None:
    """Write the documented JSON of each call into a folder, as `mpal list --export` does, and say how many there are.

    `pattern` is the settings' own one for redacting.
    """
    plan = Plan("json", redactor(engine, pattern) if redact else None, escaped=escaped, shows_progress=True)
    count = exhaust(export(engine, ids, plan, to_folder(plan.form, folder, many=True, force=False)))
    say_exported(count, folder)


def exhaust(paths: Iterable[Path]) -> int:
    """Return how many paths there are, all of them taken."""
    return sum(1 for _ in paths)


def say_exported(count: int, folder: Path) -> None:
    """Say how many files a folder got, on standard error."""
    click.echo(f"exported {count:,} call{'' if count == 1 else 's'} into {folder}", err=True)

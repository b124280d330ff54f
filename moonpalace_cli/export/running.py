"""Run an export: read calls one at a time, check or redact them, and write them in a format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.json_text import escape_html
from moonpalace_cli.calls.reading import read_calls
from moonpalace_cli.export.destinations import to_folder
from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.export.unfit import UnfitError
from moonpalace_cli.output import note, visible
from moonpalace_cli.redaction.checking import Clean, secrets_in
from moonpalace_cli.redaction.patterns import redactor
from moonpalace_cli.text.progress import progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_cli.calls.reading import Call
    from moonpalace_cli.export.destinations import Destination
    from moonpalace_cli.export.formats import Format
    from moonpalace_cli.redaction.redactor import Redactor

SEARCHED = "were searched for secrets, nothing is exported yet"


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of an export; without a redactor and `allow_secrets`, a call with a secret stops the export.

    `first_tags` precede a call's other tags. `left` describes what remains of the calls after an interruption. Without
    `shows_summary` the summary of the redaction is not printed.
    """

    name: str
    redactor: Redactor | None = None
    allow_secrets: bool = False
    escaped: bool = False
    encoding: str = "utf-8"
    shows_bar: bool = False
    first_tags: tuple[str, ...] = ()
    left: str = "are printed"
    shows_summary: bool = True

    @property
    def form(self) -> Format:
        """Return the format."""
        return FORMATS[self.name]


@dataclass(slots=True)
class Outcome:
    """The result of an export; `left_out` maps each reason to the number of calls skipped for it."""

    exported: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{reason} ({count:,})" for reason, count in self.left_out.most_common())


def export(engine: Engine, ids: Sequence[int], plan: Plan, destination: Destination) -> Iterator[Path]:
    """Export the calls, and yield the path of each file of a single call.

    Raise MoonPalaceError for a secret before anything is written, and if no call fits the format. Skipped calls are
    reported on standard error.
    """
    if plan.redactor is None and not plan.allow_secrets:
        refuse_secrets(engine, ids, plan)
    outcome = Outcome()
    with destination as write, progress(len(ids), "Exporting", plan.left, shows_bar=plan.shows_bar) as steps:
        for call in read_calls(engine, ids, timed=plan.form.timed):
            steps(1)
            text = written(call, plan, outcome)
            if text is not None:
                path = write(call, text)
                if path is not None:
                    yield path
        refuse_nothing(ids, plan, outcome)
    if outcome.left_out:
        note(f"left out as {plan.name}: {outcome}")
    for line in plan.redactor.summary.lines() if plan.redactor and plan.shows_summary else ():
        note(visible(line))


def written(call: Call, plan: Plan, outcome: Outcome) -> str | None:
    """Return the text of a call in the format, None if it does not fit; count both."""
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
    """Raise MoonPalaceError if nothing was exported."""
    if outcome.exported:
        return
    if not outcome.left_out:
        raise MoonPalaceError(f"none of the {len(ids):,} calls is still stored")
    if len(ids) == 1:
        raise MoonPalaceError(f"call {ids[0]} cannot be exported as {plan.name}: it {next(iter(outcome.left_out))}")
    raise MoonPalaceError(f"none of the {len(ids):,} calls can be exported as {plan.name}: {outcome}")


def refuse_secrets(engine: Engine, ids: Sequence[int], plan: Plan) -> None:
    """Raise MoonPalaceError that names the first secret in the calls."""
    clean: Clean = set()
    with progress(len(ids), "Looking for secrets", SEARCHED, shows_bar=plan.shows_bar) as steps:
        for call in read_calls(engine, ids):
            steps(1)
            secrets = secrets_in(call, clean)
            if secrets:
                places = len({str(each) for each in secrets}) - 1
                more = f" (and in {places} more place{'s' if places > 1 else ''})" if places else ""
                raise MoonPalaceError(
                    f"call {call.exchange.id} seems to contain a secret: {secrets[0]}{more}; "
                    "--redact replaces secrets, --allow-secrets exports it unchanged"
                )


def export_listed(
    engine: Engine, ids: Sequence[int], folder: Path, *, pattern: str | None, redact: bool, escaped: bool
) -> None:
    """Write the documented JSON of each call into a folder, for `mpal list --export`, and print the count.

    `pattern` is the redaction pattern of the settings.
    """
    plan = Plan(
        "json", redactor(engine, pattern) if redact else None, escaped=escaped, shows_bar=True, left=left_in(folder)
    )
    count = exhaust(export(engine, ids, plan, to_folder(plan.form, folder, many=True, force=False)))
    say_exported(count, folder)


def left_in(folder: Path) -> str:
    """Return what remains in a folder after an interrupted export."""
    return f"are in {folder}; run it again to continue"


def exhaust(paths: Iterable[Path]) -> int:
    """Consume the paths, and return their number."""
    return sum(1 for _ in paths)


def say_exported(count: int, folder: Path) -> None:
    """Print on standard error how many files were written to a folder."""
    click.echo(f"exported {count:,} call{'' if count == 1 else 's'} into {folder}", err=True)

"""`mpal export`: calls as JSON documents, commands, archives, data sets or reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from moonpalace_cli.export.formats import FORMATS
from moonpalace_cli.flags.filters import LABELS
from moonpalace_cli.flags.labelling import category_of, tag_option
from moonpalace_cli.flags.lookup import opened
from moonpalace_cli.flags.paths import GivenPath
from moonpalace_cli.flags.selecting import CallSelection, selection_flags
from moonpalace_cli.flags.setting_flags import is_given, setting_flags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from moonpalace_addons.settings.values import Settings
    from moonpalace_cli.export.destinations import Destination

STANDARD_OUTPUT = ("stdout", "-")
REPORT = "report"
"""The format that has its own flag: a report is redacted by default."""
NAMES = [name for name in FORMATS if name != REPORT]
BUNDLE = ".zip"


@click.command("export")
@selection_flags(without=LABELS)
@click.option("--good", is_flag=True, help="Mark it as a good case; the mark is stored.")
@click.option("--bad", is_flag=True, help="Mark it as a bad case; the mark is stored.")
@tag_option("--tag", "tags", about="Tag the case; may be given several times, and is stored.")
@click.option(
    "--directory",
    "--export",
    "directory",
    type=GivenPath(path_type=Path),
    help="Folder for a file for each call, named after the completion's id.",
)
@click.option(
    "-o",
    "--output",
    type=GivenPath(readable=False),
    default="stdout",
    show_default=True,
    metavar="FILE",
    help="File to write; one that ends in .zip gets a file for each call and an index.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@click.option(
    "--format",
    "form",
    type=click.Choice(NAMES),
    metavar="FORMAT",
    help=f"What to write: {', '.join(NAMES)}. Default: json, but jsonl for several calls in one output.",
)
@click.option("--curl", "as_curl", is_flag=True, help="The same as --format curl.")
@click.option("--report", "as_report", is_flag=True, help="Write a report in Markdown; redacted unless --no-redact.")
@click.option("--escape-html", is_flag=True, help="Escape <, > and & in the JSON.")
@click.option(
    "--redact/--no-redact",
    default=None,
    help="Replace keys, account and user ids, e-mail addresses and files with pseudonyms.",
)
@click.option("--allow-secrets", is_flag=True, help="Export calls unchanged even if they seem to contain a secret.")
@setting_flags("database", "endpoint", "redact-pattern")
@click.pass_context
def command(
    context: click.Context,
    selected: CallSelection,
    good: bool,
    bad: bool,
    tags: tuple[str, ...],
    directory: Path | None,
    output: str,
    force: bool,
    form: str | None,
    as_curl: bool,
    as_report: bool,
    escape_html: bool,
    redact: bool | None,
    allow_secrets: bool,
    settings: Settings,
) -> None:
    """Export calls, named as in mpal export 13 15-20 chatcmpl-abc, or chosen by flags.

    A call must match all of --id, --chatcmpl, --requestid and the filters that are given.

    With --directory the paths of the files are printed; an existing file is not overwritten without --force.

    A call that seems to contain a secret is refused; --redact replaces secrets. The same value gets the same
    pseudonym in all exports of a store.
    """
    category = category_of(good=good, bad=bad)
    if directory is not None and output not in STANDARD_OUTPUT:
        raise click.UsageError("--directory and --output exclude each other")
    if force and directory is None:
        raise click.UsageError("--force is for --directory: a file given by --output is always overwritten")
    refuse_pattern(context, is_redacted=as_report if redact is None else redact)
    many = selected.is_many
    in_one = directory is None and not output.endswith(BUNDLE)
    name = format_name(form, as_curl=as_curl, as_report=as_report) or ("jsonl" if many and in_one else "json")
    with opened(settings.database) as engine:
        from moonpalace_cli.export.destinations import encoding
        from moonpalace_cli.export.running import Plan, export, say_exported
        from moonpalace_cli.redaction.patterns import redactor

        printed = in_one and output in STANDARD_OUTPUT
        is_redacted = as_report if redact is None else redact
        plan = Plan(
            name,
            redactor(engine, settings.redact_pattern) if is_redacted else None,
            allow_secrets=allow_secrets,
            escaped=escape_html,
            encoding=encoding(FORMATS[name], printed=printed),
            shows_bar=many,
            first_tags=tags,
            left=what_is_left(directory, output),
        )
        ids = selected.find(engine)
        label(engine, ids, category, tags)
        count = 0
        for path in export(engine, ids, plan, destination(name, directory, output, many=many, force=force)):
            click.echo(path)
            count += 1
        if many and directory is not None:
            say_exported(count, directory)


def refuse_pattern(context: click.Context, *, is_redacted: bool) -> None:
    """Raise UsageError for the flag --redact-pattern without redaction, which would export what it matches."""
    if is_given(context, "redact-pattern") and not is_redacted:
        raise click.UsageError("--redact-pattern is for --redact")


def format_name(form: str | None, *, as_curl: bool, as_report: bool) -> str | None:
    """Return the name of the requested format, None for the default; raise UsageError for several."""
    formats = [*([form] if form else []), *(["curl"] if as_curl else []), *([REPORT] if as_report else [])]
    if len(set(formats)) > 1:
        raise click.UsageError("--format, --curl and --report exclude each other")
    return formats[0] if formats else None


def what_is_left(directory: Path | None, output: str) -> str:
    """Return what remains of the calls after an interruption: files, part of the output, or nothing."""
    from moonpalace_cli.export.running import left_in

    if directory is not None:
        return left_in(directory)
    return "are printed" if output in STANDARD_OUTPUT else f"were read, {output} is as it was"


def label(engine: Engine, ids: Sequence[int], category: str | None, tags: tuple[str, ...]) -> None:
    """Store the labels given by the flags."""
    from moonpalace_addons.store.records import labels

    changes = labels.Change(category=category, tag=tags)
    if changes != labels.Change():
        labels.change(engine, ids, changes)


def destination(name: str, directory: Path | None, output: str, *, many: bool, force: bool) -> Destination:
    """Return the destination of the export."""
    from moonpalace_cli.export import destinations

    form = FORMATS[name]
    if directory is not None:
        return destinations.to_folder(form, directory, many=many, force=force)
    if output in STANDARD_OUTPUT:
        return destinations.to_standard_output(form, many=many)
    if output.endswith(BUNDLE):
        return destinations.to_bundle(form, Path(output))
    return destinations.to_file(form, Path(output), many=many)

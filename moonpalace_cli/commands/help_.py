"""`mpal help`: the help of any command, and the meaning of the columns."""

import click

TOPICS = (("columns",), ("column",), ("fields",), ("field",))
"""Names of the page on columns."""


@click.command("help")
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def command(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND (cache, or cache list), or the list of commands.

    "mpal help columns" shows what the columns of list and the fields of predicates mean.
    """
    if names in TOPICS:
        click.echo(columns_text(context))
        return
    page = context.find_root()
    for name in names:
        page = click.Context(find_command(page, name), info_name=name, parent=page)
    click.echo(page.get_help())


def columns_text(context: click.Context) -> str:
    """Return the page on columns and fields."""
    from moonpalace_cli.views.listing.meanings import columns_page

    formatter = context.make_formatter()
    formatter.write_text(
        "Columns for mpal list --columns and --sort, and fields for predicates. Tables show durations in a readable "
        "unit; JSON has them in the unit given here, as do numbers in predicates without their own unit (2s, 300ms)."
    )
    for title, entries in columns_page():
        with formatter.section(title):
            formatter.write_dl(entries)
    return formatter.getvalue().rstrip("\n")


def find_command(group_context: click.Context, name: str) -> click.Command:
    """Return a group's command of that name; raise UsageError for an unknown name."""
    group = group_context.command
    if isinstance(group, click.Group):
        _, match, _ = group.resolve_command(group_context, [name])
        if match is not None:
            return match
    raise click.UsageError(f"no command {name!r}", group_context)

"""`mpal help`: the help of any command."""

import click


@click.command("help", short_help="Show the help of a command.")
@click.argument("name", metavar="[COMMAND]", required=False)
@click.pass_context
def command(context: click.Context, name: str | None) -> None:
    """Show the help of COMMAND, or the list of commands."""
    group_context = context.find_root()
    if name is None:
        click.echo(group_context.get_help())
        return
    found = find_command(group_context, name)
    click.echo(click.Context(found, info_name=name, parent=group_context).get_help())


def find_command(group_context: click.Context, name: str) -> click.Command:
    """Return the command of that name; raises UsageError for a name that is none."""
    group = group_context.command
    if isinstance(group, click.Group):
        _, found, _ = group.resolve_command(group_context, [name])
        if found is not None:
            return found
    raise click.UsageError(f"no command {name!r}", group_context)

"""`mpal help`: the help of any command."""

import click


@click.command("help", short_help="Show the help of a command.")
@click.argument("names", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def command(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND (cache, or cache list), or the list of commands."""
    shown = context.find_root()
    for name in names:
        shown = click.Context(find_command(shown, name), info_name=name, parent=shown)
    click.echo(shown.get_help())


def find_command(group_context: click.Context, name: str) -> click.Command:
    """Return a group's command of that name; raises UsageError for a name that is none."""
    group = group_context.command
    if isinstance(group, click.Group):
        _, found, _ = group.resolve_command(group_context, [name])
        if found is not None:
            return found
    raise click.UsageError(f"no command {name!r}", group_context)

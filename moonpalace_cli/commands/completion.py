"""`mpal completion`: the shell completion scripts."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", metavar="bash|zsh|fish")
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  mpal completion bash > ~/.local/share/bash-completion/completions/mpal
    zsh:   mpal completion zsh > ~/.zfunc/_mpal      (a folder of $fpath)
    fish:  mpal completion fish > ~/.config/fish/completions/mpal.fish
    """  # noqa: D301 - the backspace keeps click from filling the paragraph
    shell_class = get_completion_class(shell) if shell in SHELLS else None
    if shell_class is None:
        raise click.UsageError(f"no completion for {shell}: only for {', '.join(SHELLS)}", context)
    click.echo(shell_class(context.find_root().command, {}, "mpal", "_MPAL_COMPLETE").source())

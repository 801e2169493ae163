"""`localsrv completion`: what a shell needs to complete commands, options, apps and collections."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from localsrv.cli import output


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish", "powershell"]))
@output.json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the completion script of a shell. docs/cli.md says where each shell wants it."""
    from localsrv.cli import main

    kind = get_completion_class(shell)
    assert kind is not None, "click 8.5 knows all four"
    script = kind(main, {}, "localsrv", "_LOCALSRV_COMPLETE").source()
    if as_json:
        output.print_json({"shell": shell, "script": script})
    else:
        click.echo(script)

"""`localsrv secrets set|list|rm|move`."""

from __future__ import annotations

import sys

import click

from localsrv.base.config import VAULTS
from localsrv.cli import output
from localsrv.cli.passphrases import MOST_BYTES, as_text, ask, can_ask, descriptor_option, passphrases

app_option = click.option("--app", metavar="APP", help="A secret of this app; without it, of all apps.")


@click.group()
def secrets() -> None:
    """Keep API keys and passwords where apps can use them and never read them."""


@secrets.command("set")
@click.argument("name")
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="")
@app_option
@output.json_option
def set_secret(name: str, extra: tuple[str, ...], app: str | None, as_json: bool) -> None:
    """Store the secret NAME, or replace it.

    Its value is asked for without being shown, or read from standard input; one line break at its end is
    left out.
    """
    if extra:  # not repeated in the message: it may be the secret
        raise click.UsageError(
            "A value is never given as an argument, since the shell's history keeps it: "
            "type it when asked, or pipe it in. What you typed just now is best replaced."
        )
    value = _value(name)
    with output.client() as client:
        client.set_secret(name, value, app)
    if as_json:
        output.print_json({"name": name, "app": app})
    else:
        click.echo(f"Stored {name} for {_whose(app)}.", err=True)


def _value(name: str) -> str:
    if can_ask():
        return ask(f"Value of {name}")
    value = as_text(sys.stdin.buffer.read(MOST_BYTES + 1))
    return value.removesuffix("\n").removesuffix("\r")


@secrets.command("list")
@click.option("--app", metavar="APP", help="Only those of this app.")
@output.json_option
def list_secrets(app: str | None, as_json: bool) -> None:
    """List the secrets, without their values."""
    with output.client() as client:
        found = client.secrets(app)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("There are no secrets. Store one: localsrv secrets set NAME")
        return
    rows = [[secret["name"], secret["app"] or "all", secret["updated_at"]] for secret in found]
    output.print_table(["name", "app", "changed"], rows)


@secrets.command()
@click.argument("name")
@app_option
@output.json_option
def rm(name: str, app: str | None, as_json: bool) -> None:
    """Remove the secret NAME."""
    with output.client() as client:
        client.remove_secret(name, app)
    if as_json:
        output.print_json({"removed": name, "app": app})
    else:
        click.echo(f"Removed {name} of {_whose(app)}.")


@secrets.command()
@click.option("--to", type=click.Choice(VAULTS), required=True, help="The vault that is used from then on.")
@descriptor_option
@output.json_option
def move(to: str, descriptor: int | None, as_json: bool) -> None:
    """Move every secret to the other vault and use that one from then on.

    Credentials of replications and integrations and the keys that sign go along. Each is read back before
    anything is removed. After a crash, the same command goes on.
    """
    with output.client() as client:
        vaults = {vault["kind"]: vault for vault in client.vault()["vaults"]}
        sealed = vaults["sealed_file"]
        if sealed["state"] == "absent" and to == "sealed_file":
            (passphrase,) = passphrases(descriptor, "Passphrase for the new file", is_new=True)
            client.unlock_vault(passphrase, create=True)
        elif sealed["state"] == "locked" and (to == "sealed_file" or sealed["entries"]):
            (passphrase,) = passphrases(descriptor, "Passphrase of the vault")
            client.unlock_vault(passphrase)
        done = client.move_secrets(to)
    if as_json:
        output.print_json(done)
        return
    moved = "1 secret" if done["moved"] == 1 else f"{done['moved']} secrets"
    click.echo(f"Moved {moved}. In use from now on: {done['message']}.")
    for name in done["lost"]:
        click.echo(f"The other vault had no {output.shown(name)} any more: set it again.", err=True)
    if done["left"]:
        click.echo(
            f"{done['left']} could not be removed from the other vault: run this again when it can be used.",
            err=True,
        )


def _whose(app: str | None) -> str:
    return "all apps" if app is None else app

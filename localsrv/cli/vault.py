"""`localsrv vault status|unlock|lock|passphrase`."""

from __future__ import annotations

import click

from localsrv.cli import output
from localsrv.cli.passphrases import descriptor_option, passphrases
from localsrv.client.shapes import Vaults


@click.group()
def vault() -> None:
    """Say where secrets lie; unlock the sealed file and lock it."""


@vault.command()
@output.json_option
def status(as_json: bool) -> None:
    """Say which vault is in use and how it is."""
    with output.client() as client:
        _tell(client.vault(), as_json)


@vault.command()
@click.option("--create", is_flag=True, help="Make the file, with a new passphrase.")
@descriptor_option
@output.json_option
def unlock(create: bool, descriptor: int | None, as_json: bool) -> None:
    """Unlock the sealed file until the server ends.

    The passphrase is asked for without being shown.
    """
    question = "New passphrase" if create else "Passphrase"
    with output.client() as client:
        (passphrase,) = passphrases(descriptor, question, is_new=create)
        _tell(client.unlock_vault(passphrase, create=create), as_json)


@vault.command()
@output.json_option
def lock(as_json: bool) -> None:
    """Lock the sealed file: the server forgets its key."""
    with output.client() as client:
        _tell(client.lock_vault(), as_json)


@vault.command()
@descriptor_option
@output.json_option
def passphrase(descriptor: int | None, as_json: bool) -> None:
    """Change the passphrase of the sealed file.

    With --passphrase-fd the first line is the old one and the second the new one.
    """
    with output.client() as client:
        old, new = passphrases(descriptor, "Old passphrase", "New passphrase", is_new=True)
        _tell(client.change_passphrase(old, new), as_json)


def _tell(vaults: Vaults, as_json: bool) -> None:
    if as_json:
        output.print_json(vaults)
        return
    click.echo(f"In use: {vaults['message']}.")
    for other in vaults["vaults"]:
        if other["kind"] != vaults["kind"]:
            click.echo(f"Beside: {other['message']}.")
